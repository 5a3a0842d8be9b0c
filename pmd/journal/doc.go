// Package journal remembers what was changed of the kernel's own settings, so that
// it is put back although the process that changed it was killed.
//
// # Model
//
// Some of what a port changes goes with the process by itself, such as an XDP
// program on a bpf_link. The rest, interface features, sysfs files, MTU and MAC,
// stays. So whoever changes such a setting first writes down what it was and
// what it is going to be, [Journal.Write], then changes it; puts it back at the
// end, and removes the note, [Note.Remove].
//
// A note is one file, and its writer holds a lock on it. The lock goes with the
// process, however it ends; a note that is there without a lock is one whose
// process was killed, and [Journal.Orphans] hands it to the next one that starts.
// The folder is in /run, which is as short-lived as the settings: both are gone
// after a reboot.
//
// What a setting is, how it is read and how it is put back, is for the driver to
// know. It should put back only what still has the value that was written down:
// anything else is somebody's later decision.
//
// # Concurrency
//
// A [Journal] may be used from any goroutine, and a folder by any number of
// processes. A [Note] belongs to one goroutine at a time.
//
// # Limitations
//
// Locks are flock(2), on a file system of the machine itself. Where the system
// has none, Write fails.
package journal
