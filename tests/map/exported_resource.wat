;; Exports a resource in another version than its core module spells.
(component
  (type $counter (resource (rep i32)))
  (core func $new (canon resource.new $counter))
  (core func $drop (canon resource.drop $counter))
  (core module $main
    (import "[export]demo:math/ops@0.1.0" "[resource-new]counter" (func $new (param i32) (result i32)))
    (import "[export]demo:math/ops@0.1.0" "[resource-drop]counter" (func $drop (param i32)))
    (func (export "demo:math/ops@0.1.0#[constructor]counter") (result i32)
      (call $drop (call $new (i32.const 1)))
      (call $new (i32.const 2))))
  (core instance $i (instantiate $main
    (with "[export]demo:math/ops@0.1.0" (instance
      (export "[resource-new]counter" (func $new)) (export "[resource-drop]counter" (func $drop))))))
  (func $make (result (own $counter)) (canon lift (core func $i "demo:math/ops@0.1.0#[constructor]counter")))
  (component $interface
    (import "counter" (type $counter (sub resource)))
    (import "make" (func $make (result (own $counter))))
    (export $exported "counter" (type $counter))
    (export "[constructor]counter" (func $make) (func (result (own $exported)))))
  (instance $ops (instantiate $interface (with "counter" (type $counter)) (with "make" (func $make))))
  (export "demo:math/ops@0.1.4" (instance $ops)))
