;; A core module that stands alone, as wasip1 programs do.
(module $program
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 1)
  (func $_ZN4demo3add17h0123456789abcdefE (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))
  (func $_start (export "_start")
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0)))
    (call $proc_exit (call $_ZN4demo3add17h0123456789abcdefE (i32.const -1)))))
