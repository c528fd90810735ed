;; A 64-bit memory. Growing and filling it calls builtins.
(component $wide
  (core module $main
    (memory (export "memory") i64 1)
    (func $grow (export "grow") (result i32)
      (memory.copy (i64.const 0) (i64.const 8) (i64.const 8))
      (memory.fill (i64.const 0) (i32.const 1) (i64.const 8))
      (i32.wrap_i64 (memory.grow (i64.const 1)))))
  (core instance $i (instantiate $main))
  (func (export "grow") (result s32) (canon lift (core func $i "grow"))))
