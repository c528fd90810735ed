;; Traps, each a few frames down (but for overflow). After a trap the instance cannot be entered again: whatever comes
;; after one needs a fresh instance.
;;
;; Imports: none.
;; Exports: run: func() -> u32 = 142 + 100 = 242 (divides twice, does not trap)
;;          divide: func(x: u32) -> u32 = 1000 / x, and traps on 0: integer divide by zero
;;          oob: func()             traps: out of bounds memory access (by a load, of an address which is computed)
;;          overflow: func()        traps: call stack exhausted; 250 i64 results, so that each frame has a large return
;;                                  area but runs few instructions (some 130 frames for 512 KiB of stack)
;;          overflow-small: func()  traps: call stack exhausted; small frames, so that there are thousands of them (not
;;                                  for single steps)
;;          unreachable: func()     traps: wasm `unreachable` instruction executed
;;          null-call: func()       traps: uninitialized element (call_indirect of a null entry)
;;          wrong-type: func()      traps: indirect call type mismatch
;;          fill: func()            traps: out of bounds memory access (of memory.fill: the second of two; the first
;;                                  calls the builtin, and the bounds check of the second traps before it does)
;;          builtin: func()         traps: atomic wait on non-shared memory, raised by the builtin behind
;;                                  memory.atomic.wait32
;;          convert: func()         traps: integer overflow (i32.trunc_f64_u of 2^32)
;; Features: threads (only for the instruction memory.atomic.wait32; no shared memory), bulk memory, multi-value. On by
;;          default in Wasmtime 48: no -W is needed.
(component $traps-guest
  (core module $main
    (type $unary (func (param i32) (result i32)))
    (memory 1 1)
    (table $funcs 4 4 funcref)
    (elem (table $funcs) (i32.const 1) func $quotient $noop)
    (global $sink (mut i32) (i32.const 0))
    (func $noop)
    (func $quotient (type $unary) (param $x i32) (result i32)
      (i32.div_u (i32.const 1000) (local.get $x)))
    (func $divide-twice-removed (param $x i32) (result i32)
      (i32.add (call $quotient (local.get $x)) (i32.const 0)))
    (func $divide (export "divide") (param $x i32) (result i32)
      (i32.mul (call $divide-twice-removed (local.get $x)) (i32.const 1)))
    (func $run (export "run") (result i32)
      (i32.add (call $divide (i32.const 7)) (call $divide (i32.const 10))))
    (func $load (param $at i32) (result i32)
      (i32.load offset=16 (local.get $at)))
    (func $oob (export "oob")
      (global.set $sink (i32.add
        (call $load (i32.const 128))
        (call $load (i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 16))))))
    (func $endless (param $n i32) (result 
      i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64
      i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64
      i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64
      i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64
      i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64
      i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64
      i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64
      i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64
      i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64
      i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64)
      (global.set $sink (local.get $n))
      (call $endless (i32.add (local.get $n) (i32.const 1))))
    (func $overflow (export "overflow")
      (call $endless (i32.const 0))
      drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
      drop drop drop drop
      drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
      drop drop drop drop
      drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
      drop drop drop drop
      drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
      drop drop drop drop
      drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
      drop drop drop drop
      drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
      drop drop drop drop
      drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
      drop drop drop drop
      drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
      drop drop drop drop
      drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
      drop drop drop drop
      drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
      drop drop drop drop)
    (func $endless-small (param $n i32) (result i32)
      (i32.add (call $endless-small (i32.add (local.get $n) (i32.const 1))) (local.get $n)))
    (func $overflow-small (export "overflow-small")
      (global.set $sink (call $endless-small (i32.const 0))))
    (func $stop (param $n i32) (result i32)
      (if (local.get $n) (then unreachable))
      (i32.const 1))
    (func $unreachable (export "unreachable")
      (global.set $sink (i32.add (call $stop (i32.const 0)) (call $stop (i32.const 1)))))
    (func $call-entry (param $i i32) (result i32)
      (i32.add (call_indirect $funcs (type $unary) (i32.const 4) (local.get $i)) (i32.const 1)))
    (func $null-call (export "null-call")
      (global.set $sink (i32.add (call $call-entry (i32.const 1)) (call $call-entry (i32.const 0)))))
    (func $wrong-type (export "wrong-type")
      (global.set $sink (i32.add (call $call-entry (i32.const 1)) (call $call-entry (i32.const 2)))))
    (func $fill (param $at i32) (param $len i32)
      (memory.fill (local.get $at) (i32.const 1) (local.get $len)))
    (func $wait (param $at i32) (result i32)
      (memory.atomic.wait32 (local.get $at) (i32.const 0) (i64.const 0)))
    (func $builtin (export "builtin")
      (global.set $sink (i32.add (call $wait (i32.const 64)) (i32.const 1))))
    (func $fill-twice (export "fill")
      (call $fill (i32.const 1000) (i32.const 100))
      (call $fill (i32.const 65000) (i32.const 1000)))
    (func $truncate (param $x f64) (result i32)
      (i32.trunc_f64_u (local.get $x)))
    (func $convert (export "convert")
      (global.set $sink (i32.add (call $truncate (f64.const 3)) (call $truncate (f64.const 4294967296))))))
  (core instance $i (instantiate $main))
  (func (export "run") (result u32) (canon lift (core func $i "run")))
  (func (export "divide") (param "x" u32) (result u32) (canon lift (core func $i "divide")))
  (func (export "oob") (canon lift (core func $i "oob")))
  (func (export "overflow") (canon lift (core func $i "overflow")))
  (func (export "overflow-small") (canon lift (core func $i "overflow-small")))
  (func (export "unreachable") (canon lift (core func $i "unreachable")))
  (func (export "null-call") (canon lift (core func $i "null-call")))
  (func (export "wrong-type") (canon lift (core func $i "wrong-type")))
  (func (export "fill") (canon lift (core func $i "fill")))
  (func (export "builtin") (canon lift (core func $i "builtin")))
  (func (export "convert") (canon lift (core func $i "convert"))))
