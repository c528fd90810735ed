;; Components without names, all of one package and with the same interpreter, as a tool puts them together that names nothing: called
;; by the words under which they are plugged into the app.
(component
  (component
    (core module (@name "libpython3.14.so") (func (export "demo:math/ops#answer") (result i32) i32.const 1))
    (core instance $i (instantiate 0))
    (func $answer (result s32) (canon lift (core func $i "demo:math/ops#answer")))
    (instance $ops (export "answer" (func $answer)))
    (export "demo:math/ops" (instance $ops)))
  (component
    (core module (@name "libpython3.14.so") (func (export "demo:math/ops#answer") (result i32) i32.const 2))
    (core instance $i (instantiate 0))
    (func $answer (result s32) (canon lift (core func $i "demo:math/ops#answer")))
    (instance $ops (export "answer" (func $answer)))
    (export "demo:math/ops" (instance $ops)))
  (component
    (import "exact" (instance $exact (export "answer" (func (result s32)))))
    (import "fast" (instance $fast (export "answer" (func (result s32)))))
    (core func $exact (canon lower (func $exact "answer")))
    (core func $fast (canon lower (func $fast "answer")))
    (core module
      (import "exact" "answer" (func $exact (result i32)))
      (import "fast" "answer" (func $fast (result i32)))
      (func (export "run") (result i32) (i32.add (call $exact) (call $fast))))
    (core instance $m (instantiate 0
      (with "exact" (instance (export "answer" (func $exact))))
      (with "fast" (instance (export "answer" (func $fast))))))
    (func (export "run") (result s32) (canon lift (core func $m "run"))))
  (instance (instantiate 0))
  (instance (instantiate 1))
  (instance (instantiate 2
    (with "exact" (instance 0 "demo:math/ops")) (with "fast" (instance 1 "demo:math/ops"))))
  (export "run" (func 4 "run")))
