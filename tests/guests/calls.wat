;; Calls what it says, so that calls can be counted. `run(n)` calls the imports `put` n times and `wait` once, and the
;; component inside of it n / 2 times, which itself calls `put` once each time. `pure` calls nothing. `grow(n)` grows the
;; memory by one page, n times. `even(n)` calls `put` n times, and nothing else.
(component $caller
  (import "demo:log/out@1.0.0" (instance $out
    (export "put" (func (param "n" u32)))
    (export "wait" (func (param "n" u32) (result u32)))))
  (component $provider
    (import "demo:log/out@1.0.0" (instance $out (export "put" (func (param "n" u32)))))
    (core func $put (canon lower (func $out "put")))
    (core module $provider
      (import "demo:log/out@1.0.0" "put" (func $put (param i32)))
      (func $half (export "demo:math/ops@0.1.0#half") (param i32) (result i32)
        (call $put (local.get 0))
        (i32.shr_u (local.get 0) (i32.const 1))))
    (core instance $i (instantiate $provider (with "demo:log/out@1.0.0" (instance (export "put" (func $put))))))
    (func $half (param "n" u32) (result u32) (canon lift (core func $i "demo:math/ops@0.1.0#half")))
    (instance $ops (export "half" (func $half)))
    (export "demo:math/ops@0.1.0" (instance $ops)))
  (component $app
    (import "demo:log/out@1.0.0" (instance $out
      (export "put" (func (param "n" u32)))
      (export "wait" (func (param "n" u32) (result u32)))))
    (import "demo:math/ops@0.1.0" (instance $ops (export "half" (func (param "n" u32) (result u32)))))
    (core func $put (canon lower (func $out "put")))
    (core func $wait (canon lower (func $out "wait")))
    (core func $half (canon lower (func $ops "half")))
    (core module $main
      (import "demo:log/out@1.0.0" "put" (func $put (param i32)))
      (import "demo:log/out@1.0.0" "wait" (func $wait (param i32) (result i32)))
      (import "demo:math/ops@0.1.0" "half" (func $half (param i32) (result i32)))
      (memory (export "memory") 1)
      (func $run (export "demo:log/app@0.1.0#run") (param $n i32) (result i32)
        (local $i i32)
        (local.set $i (local.get $n))
        (loop $l
          (call $put (local.get $i))
          (if (i32.and (local.get $i) (i32.const 1)) (then (drop (call $half (local.get $i)))))
          (br_if $l (local.tee $i (i32.sub (local.get $i) (i32.const 1)))))
        (call $wait (local.get $n)))
      (func $pure (export "demo:log/app@0.1.0#pure") (param $n i32) (result i32)
        (loop $l (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (local.get $n))
      (func $even (export "demo:log/app@0.1.0#even") (param $n i32) (result i32)
        (loop $l
          (call $put (local.get $n))
          (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (local.get $n))
      (func $grow (export "demo:log/app@0.1.0#grow") (param $n i32) (result i32)
        (loop $l
          (drop (memory.grow (i32.const 1)))
          (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (memory.size)))
    (core instance $m (instantiate $main
      (with "demo:log/out@1.0.0" (instance (export "put" (func $put)) (export "wait" (func $wait))))
      (with "demo:math/ops@0.1.0" (instance (export "half" (func $half))))))
    (func $run (param "n" u32) (result u32) (canon lift (core func $m "demo:log/app@0.1.0#run")))
    (func $pure (param "n" u32) (result u32) (canon lift (core func $m "demo:log/app@0.1.0#pure")))
    (func $grow (param "n" u32) (result u32) (canon lift (core func $m "demo:log/app@0.1.0#grow")))
    (func $even (param "n" u32) (result u32) (canon lift (core func $m "demo:log/app@0.1.0#even")))
    (instance $app (export "run" (func $run)) (export "even" (func $even))
      (export "pure" (func $pure)) (export "grow" (func $grow)))
    (export "demo:log/app@0.1.0" (instance $app)))
  (instance $provider' (instantiate $provider (with "demo:log/out@1.0.0" (instance $out))))
  (instance $app' (instantiate $app
    (with "demo:log/out@1.0.0" (instance $out))
    (with "demo:math/ops@0.1.0" (instance $provider' "demo:math/ops@0.1.0"))))
  (export "demo:log/app@0.1.0" (instance $app' "demo:log/app@0.1.0")))
