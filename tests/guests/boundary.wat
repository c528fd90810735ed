;; For benchmarks: work within one component, calls of the host, and calls of another component. $inner exports
;; demo:math/ops, $app imports it and the host, and the outer component puts them together, so that the calls from $app
;; to $inner go through fused adapters.
;;
;; Imports: test:host/host { note: func(x: u32) -> u32 }, where the host returns x + 1; called n times by host-calls(n)
;;          (with 0 to n - 1), 3 times by `run`.
;; Exports: cpu: func(n: u32) -> u64: n rounds of $cpu's loop, each of which calls $mix once, and each 8th $fib(5) (15
;;          calls) too.
;;            cpu(0) = 1, cpu(10) = 137159539571091016, cpu(1000) = 8494745206629734854,
;;            cpu(1000000) = 12695609058567224429
;;          host-calls: func(n: u32) -> u64 = n (n + 1) / 2, when the host returns x + 1 and n < 2^32 - 1: n calls of
;;          `note`.
;;          crossings: func(n: u32) -> u64: n calls of the inner component: for even i, add(i, 1); for odd i,
;;          sum([i, 1, 2, 3]) (a list of 4 u32, which the adapter copies). The sum of the results, of which the one for
;;          i is i + 1 for even i and i + 6 for odd i: with e = ceil(n / 2), o = floor(n / 2):
;;          n (n - 1) / 2 + e + 6 o (for n below 2^31).
;;            crossings(0) = 0, crossings(1) = 1, crossings(10) = 80, crossings(1000) = 503000
;;          adds: func(n: u32) -> u64: n calls of add(i, 1) = n (n + 1) / 2.
;;          sums: func(n: u32) -> u64: n calls of sum([i, 1, 2, 3]) = n (n - 1) / 2 + 6 n.
;;          run: func() -> u32 = 3786466914 (low 32 bits of cpu(10) + host-calls(3) + crossings(4))
;; Features: multi-memory (the fused adapters need it). On by default in Wasmtime 48: no -W is needed.
(component $boundary-guest
  (import "test:host/host" (instance $host
    (export "note" (func (param "x" u32) (result u32)))))
  (component $inner
    (core module $inner-main
      (memory (export "memory") 1)
      ;; Lists are small and used at once: they all go to one place.
      (func $cabi_realloc (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
        (i32.const 1024))
      (func $add (export "demo:math/ops#add") (param $x i32) (param $y i32) (result i32)
        (i32.add (local.get $x) (local.get $y)))
      (func $sum (export "demo:math/ops#sum") (param $at i32) (param $len i32) (result i32)
        (local $sum i32)
        (block $done
          (loop $again
            (br_if $done (i32.eqz (local.get $len)))
            (local.set $sum (i32.add (local.get $sum) (i32.load (local.get $at))))
            (local.set $at (i32.add (local.get $at) (i32.const 4)))
            (local.set $len (i32.sub (local.get $len) (i32.const 1)))
            (br $again)))
        (local.get $sum)))
    (core instance $main (instantiate $inner-main))
    (func $add (param "x" u32) (param "y" u32) (result u32)
      (canon lift (core func $main "demo:math/ops#add")))
    (func $sum (param "xs" (list u32)) (result u32)
      (canon lift (core func $main "demo:math/ops#sum")
        (memory (core memory $main "memory")) (realloc (core func $main "cabi_realloc"))))
    (instance $ops (export "add" (func $add)) (export "sum" (func $sum)))
    (export "demo:math/ops" (instance $ops)))
  (component $app
    (import "test:host/host" (instance $host
      (export "note" (func (param "x" u32) (result u32)))))
    (import "demo:math/ops" (instance $ops
      (export "add" (func (param "x" u32) (param "y" u32) (result u32)))
      (export "sum" (func (param "xs" (list u32)) (result u32)))))
    (core module $libc (memory (export "memory") 1))
    (core instance $libc (instantiate $libc))
    (core func $note (canon lower (func $host "note")))
    (core func $add (canon lower (func $ops "add")))
    (core func $sum (canon lower (func $ops "sum") (memory (core memory $libc "memory"))))
    (core module $app-main
      (import "libc" "memory" (memory 1))
      (import "test:host/host" "note" (func $note (param i32) (result i32)))
      (import "demo:math/ops" "add" (func $add (param i32 i32) (result i32)))
      (import "demo:math/ops" "sum" (func $sum (param i32 i32) (result i32)))
      (data (i32.const 16) "\00\00\00\00\01\00\00\00\02\00\00\00\03\00\00\00")
      (func $mix (param $x i64) (param $i i32) (result i64)
        (local.set $x (i64.xor (local.get $x) (i64.shr_u (local.get $x) (i64.const 29))))
        (local.set $x (i64.mul (local.get $x) (i64.const 0x5851f42d4c957f2d)))
        (i64.rotl (i64.add (local.get $x) (i64.extend_i32_u (local.get $i))) (i64.const 23)))
      (func $fib (param $n i32) (result i32)
        (if (result i32) (i32.lt_u (local.get $n) (i32.const 2))
          (then (local.get $n))
          (else (i32.add
            (call $fib (i32.sub (local.get $n) (i32.const 1)))
            (call $fib (i32.sub (local.get $n) (i32.const 2)))))))
      (func $cpu (export "cpu") (param $n i32) (result i64)
        (local $i i32) (local $x i64)
        (local.set $x (i64.const 1))
        (block $done
          (loop $again
            (br_if $done (i32.ge_u (local.get $i) (local.get $n)))
            (local.set $x (call $mix (local.get $x) (local.get $i)))
            (if (i32.eqz (i32.and (local.get $i) (i32.const 7)))
              (then (local.set $x (i64.add (local.get $x) (i64.extend_i32_u (call $fib (i32.const 5)))))))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br $again)))
        (local.get $x))
      (func $host-calls (export "host-calls") (param $n i32) (result i64)
        (local $i i32) (local $sum i64)
        (block $done
          (loop $again
            (br_if $done (i32.ge_u (local.get $i) (local.get $n)))
            (local.set $sum (i64.add (local.get $sum) (i64.extend_i32_u (call $note (local.get $i)))))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br $again)))
        (local.get $sum))
      (func $add-1 (param $i i32) (result i64)
        (i64.extend_i32_u (call $add (local.get $i) (i32.const 1))))
      (func $sum-4 (param $i i32) (result i64)
        (i32.store (i32.const 16) (local.get $i))
        (i64.extend_i32_u (call $sum (i32.const 16) (i32.const 4))))
      (func $crossings (export "crossings") (param $n i32) (result i64)
        (local $i i32) (local $sum i64)
        (block $done
          (loop $again
            (br_if $done (i32.ge_u (local.get $i) (local.get $n)))
            (local.set $sum (i64.add (local.get $sum)
              (if (result i64) (i32.and (local.get $i) (i32.const 1))
                (then (call $sum-4 (local.get $i)))
                (else (call $add-1 (local.get $i))))))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br $again)))
        (local.get $sum))
      (func $adds (export "adds") (param $n i32) (result i64)
        (local $i i32) (local $sum i64)
        (block $done
          (loop $again
            (br_if $done (i32.ge_u (local.get $i) (local.get $n)))
            (local.set $sum (i64.add (local.get $sum) (call $add-1 (local.get $i))))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br $again)))
        (local.get $sum))
      (func $sums (export "sums") (param $n i32) (result i64)
        (local $i i32) (local $sum i64)
        (block $done
          (loop $again
            (br_if $done (i32.ge_u (local.get $i) (local.get $n)))
            (local.set $sum (i64.add (local.get $sum) (call $sum-4 (local.get $i))))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br $again)))
        (local.get $sum))
      (func $run (export "run") (result i32)
        (i32.wrap_i64
          (i64.add
            (call $cpu (i32.const 10))
            (i64.add (call $host-calls (i32.const 3)) (call $crossings (i32.const 4)))))))
    (core instance $main (instantiate $app-main
      (with "libc" (instance $libc))
      (with "test:host/host" (instance (export "note" (func $note))))
      (with "demo:math/ops" (instance (export "add" (func $add)) (export "sum" (func $sum))))))
    (func (export "run") (result u32) (canon lift (core func $main "run")))
    (func (export "cpu") (param "n" u32) (result u64) (canon lift (core func $main "cpu")))
    (func (export "host-calls") (param "n" u32) (result u64) (canon lift (core func $main "host-calls")))
    (func (export "crossings") (param "n" u32) (result u64) (canon lift (core func $main "crossings")))
    (func (export "adds") (param "n" u32) (result u64) (canon lift (core func $main "adds")))
    (func (export "sums") (param "n" u32) (result u64) (canon lift (core func $main "sums"))))
  (instance $i (instantiate $inner))
  (instance $a (instantiate $app
    (with "test:host/host" (instance $host))
    (with "demo:math/ops" (instance $i "demo:math/ops"))))
  (export "run" (func $a "run"))
  (export "cpu" (func $a "cpu"))
  (export "host-calls" (func $a "host-calls"))
  (export "crossings" (func $a "crossings"))
  (export "adds" (func $a "adds"))
  (export "sums" (func $a "sums")))
