// Package ctl is the control socket: HTTP and JSON over a Unix socket, its server
// in the process that forwards and its client in every other command.
//
// # Model
//
// One table, [Routes], says which requests there are. The server's dispatch, the
// index that GET /v1 returns and the test of docs/api.md are made from it.
//
// The socket file is the lock: a process that starts where another one answers is
// refused, and a socket that nobody answers on is replaced. Who may connect is who
// may write to the file, mode 0600.
//
// An answer is composed before its first byte is written, and nothing is locked
// while a client reads or writes, so a client that stalls holds its own connection
// and nothing else. Connections that say nothing are closed after some seconds.
//
// # Concurrency
//
// A [Server] serves requests at the same time, each on a goroutine of its own; the
// [Target] must allow that. A [Client] may be used from any goroutine.
//
// # Limitations
//
// There is no stream of events. Everybody who may connect may do everything.
package ctl
