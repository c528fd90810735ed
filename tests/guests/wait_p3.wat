;; Computes and waits in turn: ten times 20 ms, inside of an import of WASI 0.3 that is async for the host.
(component
  (import "wasi:clocks/monotonic-clock@0.3.0" (instance $clock
     (export "wait-for" (func async (param "how-long" u64)))))
  (core module $m
    (import "" "wait" (func $wait (param i64)))
    (func $spin (param $n i32) (loop $l (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
    (func (export "run") (result i32) (local $i i32)
      (loop $l (call $spin (i32.const 20000000)) (call $wait (i64.const 20000000))
        (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 10)))) (i32.const 0)))
  (core func $wait (canon lower (func $clock "wait-for")))
  (core instance $i (instantiate $m (with "" (instance (export "wait" (func $wait))))))
  (func $run async (result (result)) (canon lift (core func $i "run")))
  (instance $r (export "run" (func $run)))
  (export "wasi:cli/run@0.3.0" (instance $r)))
