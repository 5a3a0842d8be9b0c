// Package cli is the command line: what words there are, what each command does
// with the packages below, and what status the process ends with.
//
// # Model
//
// [Root] is the grammar; kong reads it. A command is a struct with its flags and a
// method Run. [Main] parses, runs and turns the error into a status: 0 for success,
// 2 if the user's words are at fault ([usage.Is]), 1 for everything else. Standard
// output carries what was asked for and nothing else; everything said besides goes
// to standard error.
//
// Completion scripts are written from the same grammar, so they know every command
// and flag.
//
// # Concurrency
//
// Main runs one command. A command that runs a dataplane is stopped by the signals
// of its [app.App].
//
// # Limitations
//
// There is no configuration file.
package cli
