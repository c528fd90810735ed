;; Ways from the host back into a guest: (a) `name` returns a string, so that the host calls cabi_realloc while the
;; guest's `run` is on the stack; (b) `describe` returns a string and has a post-return function, which the host calls
;; after it; (c) `call-back`, of which the host's implementation may call another instance (of this component too).
;; `name` is lowered behind a shim, as wit-component does it, for main's own memory and cabi_realloc; `call-back` is
;; lowered directly, and is called once more by a tail call.
;;
;; Imports: test:host/host { name: func() -> string, call-back: func(x: u32) -> u32 }; each `run` calls, in order:
;;          name, call-back(1), name, call-back(2), name, call-back(3), call-back(7).
;; Exports: run: func() -> u32
;;            With N = the length of the name in bytes + the sum of its bytes, always the same name, and
;;            C(x) = call-back(x):  run = ((N + C(1))*31 + N + C(2))*31 + N + C(3) + C(7)  (mod 2^32)
;;            = 633614 when `name` returns "oracle" and call-back(x) returns 2x
;;            = 633575 when `name` returns "oracle" and call-back(x) returns x + 1
;;          describe: func() -> string = "described by the guest" (22 bytes, written into memory got from cabi_realloc;
;;            post-return wipes it, in a loop of 22 steps). May be called repeatedly.
;; Features: tail calls, bulk memory. On by default in Wasmtime 48: no -W is needed.
(component $callback-guest
  (import "test:host/host" (instance $host
    (export "name" (func (result string)))
    (export "call-back" (func (param "x" u32) (result u32)))))
  (core module $wit-component:shim
    (type $name (func (param i32)))
    (table $imports (export "$imports") 1 1 funcref)
    (func $indirect-test:host/host-name (export "0") (type $name) (param $area i32)
      (call_indirect $imports (type $name) (local.get $area) (i32.const 0))))
  (core module $wit-component:fixups
    (type $name (func (param i32)))
    (import "" "0" (func $name (type $name)))
    (import "" "$imports" (table $imports 1 1 funcref))
    (elem (table $imports) (i32.const 0) func $name))
  (core module $main
    (import "test:host/host" "name" (func $name (param i32)))
    (import "test:host/host" "call-back" (func $call-back (param i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 64) "described by the guest")
    (global $heap (mut i32) (i32.const 1024))
    (func $bump (param $align i32) (param $size i32) (result i32)
      (local $at i32)
      (local.set $at (i32.and
        (i32.add (global.get $heap) (i32.sub (local.get $align) (i32.const 1)))
        (i32.sub (i32.const 0) (local.get $align))))
      (global.set $heap (i32.add (local.get $at) (local.get $size)))
      (local.get $at))
    (func $cabi_realloc (export "cabi_realloc")
      (param $old i32) (param $old-size i32) (param $align i32) (param $size i32) (result i32)
      (local $at i32)
      (if (i32.and (i32.ne (local.get $old) (i32.const 0)) (i32.le_u (local.get $size) (local.get $old-size)))
        (then (return (local.get $old))))
      (local.set $at (call $bump (local.get $align) (local.get $size)))
      (memory.copy (local.get $at) (local.get $old) (local.get $old-size))
      (local.get $at))
    (func $free (param $at i32)
      (global.set $heap (local.get $at)))
    ;; Of a length that is not known to the compiler, so that the copy is a builtin's and not inlined.
    (func $copy (param $to i32) (param $from i32) (param $len i32)
      (memory.copy (local.get $to) (local.get $from) (local.get $len)))
    ;; The length and the sum of the bytes of the host's name.
    (func $weigh-name (result i32)
      (local $at i32) (local $len i32) (local $sum i32)
      (call $name (i32.const 16))
      (local.set $at (i32.load (i32.const 16)))
      (local.set $len (i32.load (i32.const 20)))
      (local.set $sum (local.get $len))
      (block $done
        (loop $again
          (br_if $done (i32.eqz (local.get $len)))
          (local.set $sum (i32.add (local.get $sum) (i32.load8_u (local.get $at))))
          (local.set $at (i32.add (local.get $at) (i32.const 1)))
          (local.set $len (i32.sub (local.get $len) (i32.const 1)))
          (br $again)))
      (call $free (i32.load (i32.const 16)))
      (local.get $sum))
    (func $call-back-7 (param $x i32) (result i32)
      (return_call $call-back (i32.add (local.get $x) (i32.const 7))))
    (func $run (export "run") (result i32)
      (local $i i32) (local $r i32)
      (loop $again
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (local.set $r (i32.add (i32.mul (local.get $r) (i32.const 31)) (call $weigh-name)))
        (local.set $r (i32.add (local.get $r) (call $call-back (local.get $i))))
        (br_if $again (i32.lt_u (local.get $i) (i32.const 3))))
      (i32.add (local.get $r) (call $call-back-7 (i32.const 0))))
    (func $describe (export "describe") (result i32)
      (local $area i32) (local $text i32)
      (local.set $area (call $cabi_realloc (i32.const 0) (i32.const 0) (i32.const 4) (i32.const 8)))
      (local.set $text (call $cabi_realloc (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 22)))
      (call $copy (local.get $text) (i32.const 64) (i32.const 22))
      (i32.store (local.get $area) (local.get $text))
      (i32.store offset=4 (local.get $area) (i32.const 22))
      (local.get $area))
    (func $wipe (param $at i32) (param $len i32)
      (loop $again
        (i32.store8 (local.get $at) (i32.const 0))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br_if $again (local.tee $len (i32.sub (local.get $len) (i32.const 1))))))
    (func $post-describe (export "cabi_post_describe") (param $area i32)
      (call $wipe (i32.load (local.get $area)) (i32.load offset=4 (local.get $area)))
      (call $free (local.get $area))))
  (core instance $shim (instantiate $wit-component:shim))
  (core func $call-back (canon lower (func $host "call-back")))
  (core instance $main (instantiate $main
    (with "test:host/host" (instance
      (export "name" (func $shim "0"))
      (export "call-back" (func $call-back))))))
  (core func $name (canon lower (func $host "name")
    (memory (core memory $main "memory")) (realloc (core func $main "cabi_realloc"))))
  (core instance $fixups (instantiate $wit-component:fixups (with "" (instance
    (export "0" (func $name))
    (export "$imports" (table $shim "$imports"))))))
  (func (export "run") (result u32) (canon lift (core func $main "run")))
  (func (export "describe") (result string)
    (canon lift (core func $main "describe")
      (memory (core memory $main "memory")) (post-return (core func $main "cabi_post_describe")))))
