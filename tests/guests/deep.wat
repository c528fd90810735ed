;; A deep stack: `descend` recurses to the depth, and spins there.
;;
;; Imports: none.
;; Exports: descend: func(depth: u32, spin: u32) -> u64: while $spin runs, the stack has, from the top, 1 frame of
;;          $spin, depth + 1 frames of $descend, and 1 frame of $start (of which `run` is the caller when it is `run`
;;          that was called). $spin's loop runs `spin` times.
;;            descend(0, 0) = 3, descend(20, 50) = 17376433252030322919, descend(1000, 1000) = 3789514845461958187
;;            A depth of 10000 fits into Wasmtime's default of 512 KiB of stack (max-wasm-stack) on x86-64.
;;          run: func() -> u32 = 2056100071 (low 32 bits of descend(20, 50))
;; Features: none beyond the component model. On by default in Wasmtime 48: no -W is needed.
(component $deep-guest
  (core module $main
    (func $spin (param $n i32) (param $x i64) (result i64)
      (block $done
        (br_if $done (i32.eqz (local.get $n)))
        (loop $again
          (local.set $x (i64.xor (local.get $x) (i64.shr_u (local.get $x) (i64.const 29))))
          (local.set $x (i64.rotl (i64.mul (local.get $x) (i64.const 0x5851f42d4c957f2d)) (i64.const 23)))
          (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
      (local.get $x))
    (func $descend (param $depth i32) (param $spin i32) (param $x i64) (result i64)
      (if (i32.eqz (local.get $depth))
        (then (return (i64.add (call $spin (local.get $spin) (local.get $x)) (local.get $x)))))
      (i64.add
        (call $descend
          (i32.sub (local.get $depth) (i32.const 1))
          (local.get $spin)
          (i64.add (i64.mul (local.get $x) (i64.const 31)) (i64.extend_i32_u (local.get $depth))))
        (local.get $x)))
    (func $start (export "descend") (param $depth i32) (param $spin i32) (result i64)
      (i64.add (call $descend (local.get $depth) (local.get $spin) (i64.const 1)) (i64.const 1)))
    (func $run (export "run") (result i32)
      (i32.wrap_i64 (call $start (i32.const 20) (i32.const 50)))))
  (core instance $i (instantiate $main))
  (func (export "run") (result u32) (canon lift (core func $i "run")))
  (func (export "descend") (param "depth" u32) (param "spin" u32) (result u64)
    (canon lift (core func $i "descend"))))
