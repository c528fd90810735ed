;; One named module, one exported function of the world, one helper without an export.
(component $demo
  (core module $main
    (func $helper (result i32) i32.const 41)
    (func $answer (export "answer") (result i32)
      (i32.add (call $helper) (i32.const 1))))
  (core instance $i (instantiate $main))
  (func (export "answer") (result s32) (canon lift (core func $i "answer"))))
