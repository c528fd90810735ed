;; A chain in which one component is instantiated twice. Both instances run the same code, so only the adapters, which Wasmtime
;; makes for each call from instance to instance, tell which one is called.
(component $chain
  (component $backend
    (core module $code (func (export "demo:web/handler#handle") (result i32) i32.const 1))
    (core instance $i (instantiate $code))
    (func $handle (result s32) (canon lift (core func $i "demo:web/handler#handle")))
    (instance $handler (export "handle" (func $handle)))
    (export "demo:web/handler" (instance $handler)))
  (component $middleware
    (import "demo:web/handler" (instance $next (export "handle" (func (result s32)))))
    (core func $next (canon lower (func $next "handle")))
    (core module $code
      (import "demo:web/handler" "handle" (func $next (result i32)))
      (func (export "demo:web/handler#handle") (result i32) (call $next)))
    (core instance $i (instantiate $code (with "demo:web/handler" (instance (export "handle" (func $next))))))
    (func $handle (result s32) (canon lift (core func $i "demo:web/handler#handle")))
    (instance $handler (export "handle" (func $handle)))
    (export "demo:web/handler" (instance $handler)))
  (instance $backend (instantiate $backend))
  (instance $cache (instantiate $middleware (with "demo:web/handler" (instance $backend "demo:web/handler"))))
  (instance $gate (instantiate $middleware (with "demo:web/handler" (instance $cache "demo:web/handler"))))
  (export "demo:web/handler" (instance $gate "demo:web/handler")))
