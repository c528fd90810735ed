;; Components without names, some of whose core modules are interpreters: called after an instance with a name, an instance that is
;; exported by a name, a core module, the interface or function that only one provides; and one that nothing names.
(component
  (component
    (core module (@name "libpython3.14.so") (func (export "demo:math/ops#answer") (result i32) i32.const 1))
    (core instance $i (instantiate 0))
    (func $answer (result s32) (canon lift (core func $i "demo:math/ops#answer")))
    (instance $ops (export "answer" (func $answer)))
    (export "demo:math/ops" (instance $ops)))
  (component
    (core module (@name "libpython3.14.so") (func (export "demo:math/trig#answer") (result i32) i32.const 2))
    (core instance $i (instantiate 0))
    (func $answer (result s32) (canon lift (core func $i "demo:math/trig#answer")))
    (instance $trig (export "answer" (func $answer)))
    (export "demo:math/trig" (instance $trig)))
  (component
    (core module (@name "libpython3.14.so") (func (export "demo:math/roots#answer") (result i32) i32.const 3))
    (core instance $i (instantiate 0))
    (func $answer (result s32) (canon lift (core func $i "demo:math/roots#answer")))
    (instance $roots (export "answer" (func $answer)))
    (export "demo:math/roots" (instance $roots)))
  (component
    (core module (@name "app-0123456789abcdef.wasm")
      (import "demo:math/ops" "answer" (func $ops (result i32)))
      (import "demo:math/trig" "answer" (func $trig (result i32)))
      (import "demo:math/roots" "answer" (func $roots (result i32)))
      (func (export "run") (result i32) (i32.add (call $ops) (i32.add (call $trig) (call $roots)))))
    (import "demo:math/ops" (instance $ops (export "answer" (func (result s32)))))
    (import "demo:math/trig" (instance $trig (export "answer" (func (result s32)))))
    (import "demo:math/roots" (instance $roots (export "answer" (func (result s32)))))
    (core func $ops (canon lower (func $ops "answer")))
    (core func $trig (canon lower (func $trig "answer")))
    (core func $roots (canon lower (func $roots "answer")))
    (core instance $m (instantiate 0
      (with "demo:math/ops" (instance (export "answer" (func $ops))))
      (with "demo:math/trig" (instance (export "answer" (func $trig))))
      (with "demo:math/roots" (instance (export "answer" (func $roots))))))
    (func (export "run") (result s32) (canon lift (core func $m "run"))))
  (component
    (core module (func $start) (start $start))
    (core instance (instantiate 0)))
  (component
    (core module (@name "starling-raw.wasm") (func (export "walk") (result i32) i32.const 4))
    (core instance $i (instantiate 0))
    (func (export "walk") (result s32) (canon lift (core func $i "walk"))))
  (component
    (core module (@name "libpython3.14.so") (func (export "step") (result i32) i32.const 5))
    (core instance $i (instantiate 0))
    (func (export "step") (result s32) (canon lift (core func $i "step"))))
  (instance $calculator (instantiate 0))
  (instance (instantiate 1))
  (instance (instantiate 2))
  (instance (instantiate 3
    (with "demo:math/ops" (instance $calculator "demo:math/ops"))
    (with "demo:math/trig" (instance 1 "demo:math/trig"))
    (with "demo:math/roots" (instance 2 "demo:math/roots"))))
  (instance (instantiate 4))
  (instance (instantiate 5))
  (instance (instantiate 6))
  (export "run" (func 6 "run"))
  (export "walk" (func 8 "walk"))
  (export "stairs" (instance 9)))
