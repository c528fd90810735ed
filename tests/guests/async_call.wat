;; A call between components that is async: the callee runs on a fiber of its own. `app` computes for itself, then calls
;; `work` of `provider` by a sync lowering; `work` is lifted as async with a callback, and computes three times as long.
;;
;; Exports: wasi:cli/run@0.3.0
;; Features: component-model-async, and with it WASI 0.3 (`-S p3 -W component-model-async=y`).
(component $composed
  (component $provider
    (core func $return (canon task.return (result u32)))
    (core module $provider
      (import "[export]demo:async/jobs@0.1.0" "[task-return]work" (func $return (param i32)))
      (func $busy (param $n i32)
        (loop $l (local.set 0 (i32.sub (local.get 0) (i32.const 1))) (br_if $l (local.get 0))))
      (func $work (export "[async-lift]demo:async/jobs@0.1.0#work") (param $n i32) (result i32)
        (call $busy (local.get $n))
        (call $return (local.get $n))
        i32.const 0)
      (func (export "[callback][async-lift]demo:async/jobs@0.1.0#work") (param i32 i32 i32) (result i32) i32.const 0))
    (core instance $i (instantiate $provider
      (with "[export]demo:async/jobs@0.1.0" (instance (export "[task-return]work" (func $return))))))
    (func $work async (param "n" u32) (result u32)
      (canon lift (core func $i "[async-lift]demo:async/jobs@0.1.0#work") async
        (callback (core func $i "[callback][async-lift]demo:async/jobs@0.1.0#work"))))
    (instance $jobs (export "work" (func $work)))
    (export "demo:async/jobs@0.1.0" (instance $jobs)))
  (component $app
    (import "demo:async/jobs@0.1.0" (instance $jobs
      (export "work" (func async (param "n" u32) (result u32)))))
    (core func $work (canon lower (func $jobs "work")))
    (core module $app
      (import "demo:async/jobs@0.1.0" "work" (func $work (param i32) (result i32)))
      (func $own-work (param $n i32)
        (loop $l (local.set 0 (i32.sub (local.get 0) (i32.const 1))) (br_if $l (local.get 0))))
      (func $run (export "run") (result i32) (local $i i32)
        (loop $l
          (call $own-work (i32.const 10000000))
          (drop (call $work (i32.const 30000000)))
          (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 20))))
        i32.const 0))
    (core instance $i (instantiate $app
      (with "demo:async/jobs@0.1.0" (instance (export "work" (func $work))))))
    (func $run async (result (result)) (canon lift (core func $i "run")))
    (instance $cli (export "run" (func $run)))
    (export "wasi:cli/run@0.3.0" (instance $cli)))
  (instance $p (instantiate $provider))
  (instance $a (instantiate $app (with "demo:async/jobs@0.1.0" (instance $p "demo:async/jobs@0.1.0"))))
  (export "wasi:cli/run@0.3.0" (instance $a "wasi:cli/run@0.3.0")))
