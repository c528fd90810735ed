;; Two components of one name: told apart by what the composition calls their instances. The third is named by its own name
;; alone, and keeps it.
(component $whole
  (component $provider
    (core module $code (func (export "demo:math/ops#answer") (result i32) i32.const 1))
    (core instance $i (instantiate $code))
    (func $answer (result s32) (canon lift (core func $i "demo:math/ops#answer")))
    (instance $ops (export "answer" (func $answer)))
    (export "demo:math/ops" (instance $ops)))
  (component $other (@name "provider")
    (core module $code (func (export "demo:math/ops#answer") (result i32) i32.const 2))
    (core instance $i (instantiate $code))
    (func $answer (result s32) (canon lift (core func $i "demo:math/ops#answer")))
    (instance $ops (export "answer" (func $answer)))
    (export "demo:math/ops" (instance $ops)))
  (component $app
    (import "left" (instance $left (export "answer" (func (result s32)))))
    (import "right" (instance $right (export "answer" (func (result s32)))))
    (core func $left (canon lower (func $left "answer")))
    (core func $right (canon lower (func $right "answer")))
    (core module $main
      (import "left" "answer" (func $left (result i32)))
      (import "right" "answer" (func $right (result i32)))
      (func $run (export "run") (result i32) (i32.add (call $left) (call $right))))
    (core instance $m (instantiate $main
      (with "left" (instance (export "answer" (func $left))))
      (with "right" (instance (export "answer" (func $right))))))
    (func (export "run") (result s32) (canon lift (core func $m "run"))))
  (instance $doubler (instantiate $provider))
  (instance $halver (instantiate $other))
  (instance $a (instantiate $app
    (with "left" (instance $doubler "demo:math/ops")) (with "right" (instance $halver "demo:math/ops"))))
  (export "run" (func $a "run")))
