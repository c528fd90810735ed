;; Nothing has a name: functions are known by export, by whoever imports them, or by index.
(component
  (core module
    (func (export "exported") (result i32) i32.const 1)
    (func (result i32) i32.const 2)
    (func (export "used") (result i32) i32.const 3))
  (core module
    (import "first" "used" (func (result i32)))
    (func (export "outer") (result i32) (call 0))
    (func (result i32) i32.const 5))
  (core instance (instantiate 0))
  (core instance (instantiate 1 (with "first" (instance 0))))
  (func (export "outer") (result s32) (canon lift (core func 1 "outer"))))
