;; Two modules of one component that call each other directly, without an adapter.
(component $pair
  (core module $library
    (func $double (export "double") (param i32) (result i32)
      (i32.mul (local.get 0) (i32.const 2))))
  (core module $main
    (import "library" "double" (func $double (param i32) (result i32)))
    (func $run (export "run") (param i32) (result i32) (call $double (local.get 0))))
  (core instance $l (instantiate $library))
  (core instance $m (instantiate $main (with "library" (instance $l))))
  (func (export "run") (param "n" s32) (result s32) (canon lift (core func $m "run"))))
