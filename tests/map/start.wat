;; A start function, and globals and elements that need code to initialise.
(component $starts
  (core module $main
    (import "" "base" (global $base i32))
    (global $g (mut i32) (i32.add (global.get $base) (i32.const 1)))
    (table 2 funcref)
    (elem (offset (global.get $base)) func $begin)
    (memory (export "memory") 1)
    (func $begin (global.set $g (i32.const 9)))
    (func $value (export "value") (result i32) (global.get $g))
    (start $begin))
  (core module $base (global (export "base") i32 (i32.const 1)))
  (core instance $b (instantiate $base))
  (core instance $i (instantiate $main (with "" (instance $b))))
  (func (export "value") (result s32) (canon lift (core func $i "value"))))
