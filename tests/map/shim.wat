;; An import that needs the importer's memory, so a shim stands in until a fix-up module fills its table. Tools that
;; drop names leave exactly this: the shim is recognised by its structure.
(component
  (import "demo:log/sink@1.2.3" (instance $sink
    (export "print" (func (param "text" string)))))
  (core module $shim
    (type $print (func (param i32 i32)))
    (table (export "$imports") 1 1 funcref)
    (func (export "0") (param i32 i32)
      (call_indirect (type $print) (local.get 0) (local.get 1) (i32.const 0))))
  (core module $fixups
    (type $print (func (param i32 i32)))
    (import "" "0" (func $print (type $print)))
    (import "" "$imports" (table 1 1 funcref))
    (elem (i32.const 0) func $print))
  (core module $main
    (import "demo:log/sink@1.2.3" "print" (func $print (param i32 i32)))
    (memory (export "memory") 1)
    (func $run (export "run") (call $print (i32.const 0) (i32.const 5)))
    (data (i32.const 0) "hello"))
  (core instance $s (instantiate $shim))
  (core instance $m (instantiate $main
    (with "demo:log/sink@1.2.3" (instance (export "print" (func $s "0"))))))
  (alias core export $m "memory" (core memory $memory))
  (core func $print (canon lower (func $sink "print") (memory $memory)))
  (core instance (instantiate $fixups (with "" (instance
    (export "0" (func $print))
    (export "$imports" (table $s "$imports"))))))
  (func (export "run") (canon lift (core func $m "run"))))
