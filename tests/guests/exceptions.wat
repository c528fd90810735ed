;; Exceptions (try_table, throw, throw_ref): thrown and caught in one function; caught one frame up, and six frames up
;; past frames with live values and stack arguments; past a try_table which catches another tag; catch_all; catch_ref
;; and throw_ref; catch_all_ref and throw_ref through three frames; thrown in a loop; thrown by a function of another
;; module, with an imported tag; and by a function called through a table. After each, values which lived across are
;; used. 17 throws, of which 5 are by throw_ref.
;;
;; Imports: none.
;; Exports: run: func() -> u32 = 1983981957
;; Features: exceptions (which need `gc-support`, not the GC proposal), reference types, multi-value, SIMD. On by
;;          default in Wasmtime 48: no -W is needed.
(component $exceptions-guest
  (core module $thrower
    (tag $remote (export "remote") (param i32 i64))
    (func $throw-remote (export "throw-remote") (param $x i32)
      (throw $remote (i32.add (local.get $x) (i32.const 1)) (i64.const 0x100000000))))
  (core module $main
    (import "thrower" "remote" (tag $remote (param i32 i64)))
    (import "thrower" "throw-remote" (func $throw-remote (param i32)))
    (type $step (func (param i64) (result i64)))
    (table $steps funcref (elem $step-plain $step-throws))
    (tag $number (param i32))
    (tag $pair (param i64 f64))
    (tag $empty)
    (memory 1)
    (data (i32.const 0) "\0c\00\00\00\00\00\00\00\0c\00\00\00\00\00\00\00")   ;; 12, 12
    (data (i32.const 16) "\00\00\00\00\00\00\22\40\00\00\00\00\00\00\10\40")  ;; 9.0, 4.0
    (data (i32.const 32) "\05\00\00\00\00\00\00\00\07\00\00\00\00\00\00\00")  ;; 5, 7

    ;; 1 throw. x + 3 * y + 17 for y = x * 5
    (func $same (param $x i32) (result i32)
      (local $y i32)
      (local.set $y (i32.mul (local.get $x) (i32.const 5)))
      (i32.add
        (block $caught (result i32)
          (try_table (catch $number $caught)
            (throw $number (i32.add (local.get $x) (i32.const 17))))
          (i32.const 0))
        (i32.mul (local.get $y) (i32.const 3))))

    ;; 1 throw when x is odd; otherwise 2 * x
    (func $odd-throws (param $x i32) (result i32)
      (if (i32.and (local.get $x) (i32.const 1))
        (then (throw $number (i32.mul (local.get $x) (i32.const 100)))))
      (i32.mul (local.get $x) (i32.const 2)))
    (func $one-up (param $x i32) (param $k i64) (result i64)
      (local $n i32)
      (local.set $n
        (block $caught (result i32)
          (try_table (result i32) (catch $number $caught)
            (call $odd-throws (local.get $x)))))
      (i64.add (i64.extend_i32_u (local.get $n)) (i64.mul (local.get $k) (i64.const 10000))))

    ;; Five frames, of which each has stack arguments and adds to what comes back when nothing is thrown.
    (func $descend (param $n i64)
      (param $a i64) (param $b i64) (param $c i64) (param $d i64) (param $e f64) (param $f i64) (param $g i64)
      (result i64)
      (if (i64.eqz (local.get $n))
        (then (throw $pair
          (i64.add (i64.add (local.get $a) (i64.mul (local.get $b) (i64.const 2)))
            (i64.add (i64.mul (local.get $f) (i64.const 3)) (i64.mul (local.get $g) (i64.const 4))))
          (f64.add (local.get $e) (f64.const 0.5)))))
      (i64.add
        (call $descend (i64.sub (local.get $n) (i64.const 1))
          (local.get $g) (local.get $a) (local.get $b) (local.get $c) (f64.add (local.get $e) (f64.const 1))
          (local.get $d) (local.get $f))
        (i64.add (local.get $a) (local.get $g))))
    ;; 1 throw, past an inner try_table of another tag, and live i64, f64 and v128 values.
    (func $inner (param $n i64) (result i64)
      (block $wrong (result i32)
        (return
          (try_table (result i64) (catch $number $wrong)
            (call $descend (local.get $n)
              (i64.const 1) (i64.const 2) (i64.const 3) (i64.const 4) (f64.const 5) (i64.const 6) (i64.const 7)))))
      drop
      (i64.const -1))
    (func $far (param $at i32) (param $n i64) (result i64)
      (local $v v128) (local $z f64) (local $w f64) (local $p i64) (local $q i64) (local $x i64) (local $y f64)
      ;; Loads, because what is computed of constants and parameters alone is computed again after the call instead.
      (local.set $v (v128.load (local.get $at)))
      (local.set $z (f64.load offset=16 (local.get $at)))
      (local.set $w (f64.load offset=24 (local.get $at)))
      (local.set $p (i64.load offset=32 (local.get $at)))
      (local.set $q (i64.load offset=40 (local.get $at)))
      (block $caught (result i64 f64)
        (try_table (catch $pair $caught)
          (drop (call $inner (local.get $n))))
        (return (i64.const -2)))
      local.set $y
      local.set $x
      ;; x * 1000 + y * 2 + z * w + v[0] + v[1] + p * 3 + q * 5
      (i64.add
        (i64.add
          (i64.add
            (i64.mul (local.get $x) (i64.const 1000))
            (i64.trunc_f64_u (f64.mul (local.get $y) (f64.const 2))))
          (i64.trunc_f64_u (f64.mul (local.get $z) (local.get $w))))
        (i64.add
          (i64.add (i64x2.extract_lane 0 (local.get $v)) (i64x2.extract_lane 1 (local.get $v)))
          (i64.add (i64.mul (local.get $p) (i64.const 3)) (i64.mul (local.get $q) (i64.const 5))))))

    ;; 1 throw.
    (func $throws-empty
      (throw $empty))
    (func $all (param $x i32) (result i32)
      (block $caught
        (try_table (catch $number 1) (catch_all $caught)
          (call $throws-empty))
        (return (i32.const -3)))
      (i32.add (local.get $x) (i32.const 1)))

    ;; 1 throw when x is odd: catches 100 * x, and throws the same exception on when bit 3 is set (x = 3, not x = 1).
    (func $looks (param $x i32) (result i32)
      (local $n i32) (local $e exnref)
      (block $caught (result i32 exnref)
        (return
          (try_table (result i32) (catch_ref $number $caught)
            (call $odd-throws (local.get $x)))))
      local.set $e
      local.set $n
      (if (i32.and (i32.shr_u (local.get $n) (i32.const 3)) (i32.const 1))
        (then (throw_ref (local.get $e))))
      (local.get $n))
    (func $rethrown (param $x i32) (result i32)
      (local $y i32)
      (local.set $y (i32.add (local.get $x) (i32.const 1000)))
      (i32.add
        (block $caught (result i32)
          (try_table (result i32) (catch $number $caught)
            (call $looks (local.get $x))))
        (local.get $y)))

    ;; 1 throw and 3 throw_refs: each of three frames catches anything, counts, and throws it on.
    (global $cleanups (mut i32) (i32.const 0))
    (func $cleanup (param $n i32)
      (block $caught (result exnref)
        (try_table (catch_all_ref $caught)
          (if (local.get $n)
            (then (call $cleanup (i32.sub (local.get $n) (i32.const 1))))
            (else (throw $pair (i64.const 321) (f64.const 0.25)))))
        (return))
      (global.set $cleanups
        (i32.add (i32.mul (global.get $cleanups) (i32.const 10)) (i32.add (local.get $n) (i32.const 1))))
      throw_ref)
    (func $cleanups (result i64)
      (local $y f64) (local $x i64)
      (global.set $cleanups (i32.const 0))
      (block $caught (result i64 f64)
        (try_table (catch $pair $caught)
          (call $cleanup (i32.const 2)))
        (return (i64.const -4)))
      local.set $y
      local.set $x
      ;; 123 * 1000 + 321 + 1
      (i64.add
        (i64.mul (i64.extend_i32_u (global.get $cleanups)) (i64.const 1000))
        (i64.add (local.get $x) (i64.trunc_f64_u (f64.mul (local.get $y) (f64.const 4))))))

    ;; 3 throws: of the numbers 0 to 5 the odd ones throw.
    (func $loops (result i32)
      (local $i i32) (local $sum i32)
      (loop $again
        (local.set $sum
          (i32.add (local.get $sum)
            (block $caught (result i32)
              (try_table (result i32) (catch $number $caught)
                (call $odd-throws (local.get $i))))))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br_if $again (i32.lt_u (local.get $i) (i32.const 6))))
      (local.get $sum))

    ;; 1 throw, in another module.
    (func $far-away (param $x i32) (result i32)
      (local $hi i64) (local $lo i32)
      (block $caught (result i32 i64)
        (try_table (catch $remote $caught)
          (call $throw-remote (local.get $x)))
        (return (i32.const -5)))
      local.set $hi
      local.set $lo
      (i32.add
        (i32.add (local.get $lo) (local.get $x))
        (i32.wrap_i64 (i64.shr_u (local.get $hi) (i64.const 32)))))

    ;; 1 throw and 1 throw_ref, in one frame, of a function called through a table in place of one which returns.
    (func $step-plain (type $step) (i64.add (local.get 0) (i64.const 5)))
    (func $step-throws (type $step)
      (local $e exnref)
      (block $caught (result exnref)
        (try_table (catch_all_ref $caught)
          (throw $pair (i64.mul (local.get 0) (i64.const 2)) (f64.const 1)))
        unreachable)
      local.set $e
      (throw_ref (local.get $e)))
    (func $indirect (param $which i32) (param $x i64) (result i64)
      (block $caught (result i64 f64)
        (return
          (try_table (result i64) (catch $pair $caught)
            (call_indirect $steps (type $step) (local.get $x) (local.get $which)))))
      drop
      (i64.add (i64.const 1000)))

    (func $run (export "run") (result i32)
      (local $r i64)
      (local.set $r (i64.extend_i32_u (call $same (i32.const 4))))
      (local.set $r (i64.add (i64.mul (local.get $r) (i64.const 3)) (call $one-up (i32.const 7) (i64.const 2))))
      (local.set $r (i64.add (i64.mul (local.get $r) (i64.const 3)) (call $one-up (i32.const 8) (i64.const 3))))
      (local.set $r (i64.add (i64.mul (local.get $r) (i64.const 3)) (call $far (i32.const 0) (i64.const 4))))
      (local.set $r (i64.add (i64.mul (local.get $r) (i64.const 3)) (i64.extend_i32_u (call $all (i32.const 41)))))
      (local.set $r (i64.add (i64.mul (local.get $r) (i64.const 3)) (i64.extend_i32_u (call $rethrown (i32.const 3)))))
      (local.set $r (i64.add (i64.mul (local.get $r) (i64.const 3)) (i64.extend_i32_u (call $rethrown (i32.const 1)))))
      (local.set $r (i64.add (i64.mul (local.get $r) (i64.const 3)) (call $cleanups)))
      (local.set $r (i64.add (i64.mul (local.get $r) (i64.const 3)) (i64.extend_i32_u (call $loops))))
      (local.set $r (i64.add (i64.mul (local.get $r) (i64.const 3)) (i64.extend_i32_u (call $far-away (i32.const 60)))))
      (local.set $r (i64.add (i64.mul (local.get $r) (i64.const 3)) (call $indirect (i32.const 0) (i64.const 70))))
      (local.set $r (i64.add (i64.mul (local.get $r) (i64.const 3)) (call $indirect (i32.const 1) (i64.const 70))))
      (i32.wrap_i64 (local.get $r))))
  (core instance $thrower (instantiate $thrower))
  (core instance $main (instantiate $main (with "thrower" (instance $thrower))))
  (func (export "run") (result u32) (canon lift (core func $main "run"))))
