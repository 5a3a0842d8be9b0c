// Command pmd forwards frames between network interfaces with a poll-mode
// dataplane: run starts one, the other commands look at it and steer it over its
// control socket.
//
// # Model
//
// `pmd run` opens the ports it is given, polls them on chosen CPUs and serves
// HTTP and JSON on a Unix socket (docs/api.md). Every other command that talks to
// a running process is a client of that socket, and so is curl.
//
// Exit status: 0 for success, 1 for a failure, 2 for a command line that cannot be
// obeyed. An error is one line on standard error that begins with "pmd: ".
//
// # Concurrency
//
// Only this package ends the process and takes signals; packages below
// report errors.
//
// # Limitations
//
// AF_XDP ports need Linux. Other systems run the drivers that live inside the
// process.
package main
