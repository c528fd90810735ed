;; Strings from a component that lowers as utf16 to one that lifts as utf8.
(component $composed
  (component $provider
    (core module $provider
      (memory (export "memory") 1)
      (func $realloc (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) i32.const 16)
      (func $echo (export "demo:text/echo@0.1.0#echo") (param i32 i32) (result i32)
        (i32.store (i32.const 0) (local.get 0))
        (i32.store (i32.const 4) (local.get 1))
        i32.const 0)
      (func $post (export "cabi_post_demo:text/echo@0.1.0#echo") (param i32)))
    (core instance $i (instantiate $provider))
    (func $echo (param "text" string) (result string)
      (canon lift (core func $i "demo:text/echo@0.1.0#echo") string-encoding=utf8
        (memory (core memory $i "memory")) (realloc (core func $i "cabi_realloc"))
        (post-return (core func $i "cabi_post_demo:text/echo@0.1.0#echo"))))
    (instance $e (export "echo" (func $echo)))
    (export "demo:text/echo@0.1.0" (instance $e)))
  (component $app
    (import "demo:text/echo@0.1.0" (instance $echo
      (export "echo" (func (param "text" string) (result string)))))
    (core module $memory
      (memory (export "memory") 1)
      (func $realloc (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) i32.const 64))
    (core instance $mem (instantiate $memory))
    (core func $echo (canon lower (func $echo "echo") string-encoding=utf16
      (memory (core memory $mem "memory")) (realloc (core func $mem "cabi_realloc"))))
    (core module $main
      (import "demo:text/echo@0.1.0" "echo" (func $echo (param i32 i32 i32)))
      (func $run (export "run") (call $echo (i32.const 0) (i32.const 0) (i32.const 32))))
    (core instance $m (instantiate $main
      (with "demo:text/echo@0.1.0" (instance (export "echo" (func $echo))))))
    (func (export "run") (canon lift (core func $m "run"))))
  (instance $p (instantiate $provider))
  (instance $a (instantiate $app (with "demo:text/echo@0.1.0" (instance $p "demo:text/echo@0.1.0"))))
  (export "run" (func $a "run")))
