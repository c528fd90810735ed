;; Calls of the host through a shim, as wit-component makes them: main -> shim "0" -> call_indirect -> lowered import.
;; The fix-up module's active element segment fills the shim's table. One more call of the import is made through a
;; table of main itself, and one from a function which holds values across the call.
;;
;; Imports: test:host/host { note: func(x: u32) -> u32 }, where the host returns x + 1; called 6 times by each `run`
;;          (with 0, 1, 2, 3, 89, 90 in that order).
;; Exports: run: func() -> u32 = 94
;; Features: none beyond the component model. On by default in Wasmtime 48: no -W is needed.
(component $shim-guest
  (import "test:host/host" (instance $host
    (export "note" (func (param "x" u32) (result u32)))))
  (core module $wit-component:shim
    (type $note (func (param i32) (result i32)))
    (table $imports (export "$imports") 1 1 funcref)
    (func $indirect-test:host/host-note (export "0") (type $note) (param $x i32) (result i32)
      (call_indirect $imports (type $note) (local.get $x) (i32.const 0))))
  (core module $wit-component:fixups
    (type $note (func (param i32) (result i32)))
    (import "" "0" (func $note (type $note)))
    (import "" "$imports" (table $imports 1 1 funcref))
    (elem (table $imports) (i32.const 0) func $note))
  (core module $main
    (type $note (func (param i32) (result i32)))
    (import "test:host/host" "note" (func $note (type $note)))
    (memory (export "memory") 1)
    (table $own funcref (elem $note))
    ;; 3 * note(x) + x
    (func $once (param $x i32) (result i32)
      (i32.add (i32.mul (call $note (local.get $x)) (i32.const 3)) (local.get $x)))
    ;; x + 2 * y + 3 * z + note(x), with values which live across the call
    (func $holding (param $x i32) (param $y i64) (param $z f64) (result i32)
      (local $n i32)
      (local.set $n (call $note (local.get $x)))
      (i32.add
        (i32.add (local.get $x) (i32.wrap_i64 (i64.mul (local.get $y) (i64.const 2))))
        (i32.add (i32.trunc_f64_u (f64.mul (local.get $z) (f64.const 3))) (local.get $n))))
    (func $run (export "run") (result i32)
      (local $i i32) (local $sum i32)
      ;; sum = 3, 13, 37, 89
      (loop $again
        (local.set $sum (i32.add (i32.mul (local.get $sum) (i32.const 2)) (call $once (local.get $i))))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br_if $again (i32.lt_u (local.get $i) (i32.const 4))))
      ;; 90: through main's own table, and then the shim and its table
      (local.set $sum (call_indirect $own (type $note) (local.get $sum) (i32.const 0)))
      ;; 90 + 2 * 4 + 3 * 5 + 91 = 204; 204 - 110 = 94
      (i32.sub (call $holding (local.get $sum) (i64.const 4) (f64.const 5)) (i32.const 110))))
  (core instance $shim (instantiate $wit-component:shim))
  (core instance $main (instantiate $main
    (with "test:host/host" (instance (export "note" (func $shim "0"))))))
  (alias core export $main "memory" (core memory $memory))
  (core func $note (canon lower (func $host "note") (memory $memory)))
  (core instance $fixups (instantiate $wit-component:fixups (with "" (instance
    (export "0" (func $note))
    (export "$imports" (table $shim "$imports"))))))
  (func (export "run") (result u32) (canon lift (core func $main "run"))))
