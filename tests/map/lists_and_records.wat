;; A list of records with strings crosses from one component to another.
(component $composed
  (component $provider
    (core module $provider
      (memory (export "memory") 1)
      (func $realloc (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) i32.const 16)
      (func $total (export "demo:math/ops@0.1.0#total") (param i32 i32) (result i32) local.get 1))
    (core instance $i (instantiate $provider))
    (type $point (record (field "x" u32) (field "label" string)))
    (export $point' "point" (type $point))
    (func $total (param "points" (list $point')) (result u32)
      (canon lift (core func $i "demo:math/ops@0.1.0#total")
        (memory (core memory $i "memory")) (realloc (core func $i "cabi_realloc"))))
    (instance $ops (export "point" (type $point')) (export "total" (func $total)))
    (export "demo:math/ops@0.1.0" (instance $ops)))
  (component $app
    (import "demo:math/ops@0.1.0" (instance $ops
      (type $point (record (field "x" u32) (field "label" string)))
      (export "point" (type $point' (eq $point)))
      (export "total" (func (param "points" (list $point')) (result u32)))))
    (core module $memory (memory (export "memory") 1))
    (core instance $mem (instantiate $memory))
    (core func $total (canon lower (func $ops "total") (memory (core memory $mem "memory"))))
    (core module $main
      (import "demo:math/ops@0.1.0" "total" (func $total (param i32 i32) (result i32)))
      (func $run (export "run") (result i32) (call $total (i32.const 0) (i32.const 0))))
    (core instance $m (instantiate $main
      (with "demo:math/ops@0.1.0" (instance (export "total" (func $total))))))
    (func (export "run") (result u32) (canon lift (core func $m "run"))))
  (instance $p (instantiate $provider))
  (instance $a (instantiate $app (with "demo:math/ops@0.1.0" (instance $p "demo:math/ops@0.1.0"))))
  (export "run" (func $a "run")))
