;; Three levels of nesting: each component keeps its name, and the innermost one is defined two levels up.
(component $outer
  (component $leaf
    (core module $code (func $leaf (export "demo:deep/leaf@0.1.0#value") (result i32) i32.const 7))
    (core instance $i (instantiate $code))
    (func $value (result u32) (canon lift (core func $i "demo:deep/leaf@0.1.0#value")))
    (instance $l (export "value" (func $value)))
    (export "demo:deep/leaf@0.1.0" (instance $l)))
  (component $middle
    (component $inner
      (alias outer 2 $leaf (component $leaf))
      (instance $leaf (instantiate $leaf))
      (core func $value (canon lower (func $leaf "demo:deep/leaf@0.1.0" "value")))
      (core module $code
        (import "demo:deep/leaf@0.1.0" "value" (func $value (result i32)))
        (func $inner (export "demo:deep/inner@0.1.0#value") (result i32)
          (i32.add (call $value) (i32.const 1))))
      (core instance $i (instantiate $code (with "demo:deep/leaf@0.1.0" (instance (export "value" (func $value))))))
      (func $lifted (result u32) (canon lift (core func $i "demo:deep/inner@0.1.0#value")))
      (instance $v (export "value" (func $lifted)))
      (export "demo:deep/inner@0.1.0" (instance $v)))
    (instance $inner (instantiate $inner))
    (core func $value (canon lower (func $inner "demo:deep/inner@0.1.0" "value")))
    (core module $code
      (import "demo:deep/inner@0.1.0" "value" (func $value (result i32)))
      (func $middle (export "demo:deep/middle@0.1.0#value") (result i32)
        (i32.add (call $value) (i32.const 1))))
    (core instance $i (instantiate $code (with "demo:deep/inner@0.1.0" (instance (export "value" (func $value))))))
    (func $lifted (result u32) (canon lift (core func $i "demo:deep/middle@0.1.0#value")))
    (instance $v (export "value" (func $lifted)))
    (export "demo:deep/middle@0.1.0" (instance $v)))
  (instance $middle (instantiate $middle))
  (export "demo:deep/middle@0.1.0" (instance $middle "demo:deep/middle@0.1.0")))
