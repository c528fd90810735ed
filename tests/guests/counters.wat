;; A composition whose adapters move resources: `run(n)` makes a counter, and lends it to the component inside n times.
(component $counting
  (component $provider
    (core module $counter
      (import "" "new" (func $new (param i32) (result i32)))
      (func (export "make") (result i32) (call $new (i32.const 7)))
      (func (export "increment") (param i32) (result i32) (local.get 0)))
    (type $rep (resource (rep i32)))
    (core func $new (canon resource.new $rep))
    (core instance $i (instantiate $counter (with "" (instance (export "new" (func $new))))))
    (export $counter "counter" (type $rep))
    (func (export "make") (result (own $counter)) (canon lift (core func $i "make")))
    (func (export "increment") (param "self" (borrow $counter)) (result u32) (canon lift (core func $i "increment"))))
  (component $app
    (import "counters" (instance $counters
      (export "counter" (type $counter (sub resource)))
      (export "make" (func (result (own $counter))))
      (export "increment" (func (param "self" (borrow $counter)) (result u32)))))
    (core func $make (canon lower (func $counters "make")))
    (core func $increment (canon lower (func $counters "increment")))
    (core module $main
      (import "counters" "make" (func $make (result i32)))
      (import "counters" "increment" (func $increment (param i32) (result i32)))
      (func (export "run") (param $n i32) (result i32)
        (local $counter i32)
        (local.set $counter (call $make))
        (loop $l
          (drop (call $increment (local.get $counter)))
          (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (local.get $n)))
    (core instance $i (instantiate $main
      (with "counters" (instance (export "make" (func $make)) (export "increment" (func $increment))))))
    (func (export "run") (param "n" u32) (result u32) (canon lift (core func $i "run"))))
  (instance $provider' (instantiate $provider))
  (instance $app' (instantiate $app (with "counters" (instance $provider'))))
  (export "run" (func $app' "run")))
