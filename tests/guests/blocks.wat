;; Blocks, loops and branches that are left with values on the stack: one, many, and results that have to be moved down
;; over what is left behind; by `br`, `br_if` and `br_table`. Calls in between, so that a compiler that does not optimise
;; keeps the values in memory.
;;
;; Imports: none.
;; Exports: run: func() -> u32 = 2584090834
;; Features: multiple values. On by default in Wasmtime 48: no -W is needed.
(component $blocks-guest
  (core module $main
    (func $mix (param $x i32) (result i32)
      (i32.add (i32.mul (i32.rotl (local.get $x) (i32.const 5)) (i32.const 0x9e3779b1)) (i32.const 0x7ed55d16)))
    ;; One value is left behind.
    (func $one (param $x i32) (result i32)
      (block $done (result i32)
        (call $mix (local.get $x))
        (if (i32.and (local.get $x) (i32.const 1))
          (then (br $done (call $mix (i32.const 7)))))
        (call $mix)))
    ;; Many are.
    (func $many (param $x i32) (result i32)
      (block $done (result i32)
        (call $mix (i32.const 1)) (call $mix (i32.const 2)) (call $mix (i32.const 3)) (call $mix (i32.const 4))
        (call $mix (i32.const 5)) (call $mix (i32.const 6)) (call $mix (i32.const 7)) (call $mix (i32.const 8))
        (call $mix (i32.const 9)) (call $mix (i32.const 10)) (call $mix (i32.const 11)) (call $mix (i32.const 12))
        (call $mix (i32.const 13)) (call $mix (i32.const 14)) (call $mix (i32.const 15)) (call $mix (i32.const 16))
        (call $mix (i32.const 17)) (call $mix (i32.const 18)) (call $mix (i32.const 19)) (call $mix (i32.const 20))
        (if (i32.and (local.get $x) (i32.const 1))
          (then (br $done (call $mix (local.get $x)))))
        i32.add i32.add i32.add i32.add i32.add i32.add i32.add i32.add i32.add
        i32.add i32.add i32.add i32.add i32.add i32.add i32.add i32.add i32.add i32.add))
    ;; Results on the stack are moved.
    (func $results (param $x i32) (result i32 i32 i32)
      (block $done (result i32 i32 i32)
        (call $mix (local.get $x)) (call $mix (i32.const 2)) (call $mix (i32.const 3))
        (call $mix (i32.const 4)) (call $mix (i32.const 5)) (call $mix (i32.const 6))
        (br_if $done (i32.and (local.get $x) (i32.const 2)))
        (if (i32.and (local.get $x) (i32.const 1))
          (then (br $done (call $mix (i32.const 8)) (call $mix (i32.const 9)) (call $mix (i32.const 10)))))
        (drop) (drop) (drop)))
    ;; By a table, to blocks that are left with different numbers of values.
    (func $table (param $x i32) (result i32)
      (block $c (result i32)
        (call $mix (i32.const 1))
        (block $b (result i32)
          (call $mix (i32.const 2))
          (block $a (result i32)
            (call $mix (i32.const 3))
            (br_table $a $b $c (call $mix (i32.const 4)) (i32.rem_u (local.get $x) (i32.const 3))))
          (i32.add))
        (i32.add)))
    ;; A loop with parameters, gone round with values on the stack.
    (func $round (param $n i32) (result i32)
      (local $sum i32)
      (call $mix (i32.const 3))
      (loop $again (param i32) (result i32)
        (local.set $sum (i32.add (local.get $sum)))
        (call $mix (local.get $n)) (call $mix (local.get $sum))
        (if (local.tee $n (i32.sub (local.get $n) (i32.const 1)))
          (then (br $again (call $mix (local.get $n)))))
        (i32.add)))
    (func (export "run") (result i32)
      (local $n i32) (local $sum i32)
      (local.set $n (i32.const 6))
      (loop $again
        (local.set $sum (i32.xor (call $mix (local.get $sum)) (call $one (local.get $n))))
        (local.set $sum (i32.xor (call $mix (local.get $sum)) (call $many (local.get $n))))
        (call $results (local.get $n))
        (local.set $sum (i32.xor (i32.add (i32.add)) (call $mix (local.get $sum))))
        (local.set $sum (i32.xor (call $mix (local.get $sum)) (call $table (local.get $n))))
        (local.set $sum (i32.xor (call $mix (local.get $sum)) (call $round (local.get $n))))
        (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
      (local.get $sum)))
  (core instance $main (instantiate $main))
  (func (export "run") (result u32) (canon lift (core func $main "run"))))
