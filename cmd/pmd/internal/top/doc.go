// Package top shows a running process's statistics as a live table on a terminal.
//
// # Model
//
// A [Model] is what the screen shows: the last statistics read, and what was asked
// for by keys. It asks its [Source] once an interval, shows rates since the reading
// before, and draws sections one below the other: ports, cores, drops, and queues
// and pools on demand. A section that is too wide leaves out its less important
// columns; what does not fit below can be scrolled to.
//
// While nobody answers it says so and goes on asking, so that it outlives a restart
// of the process it looks at.
//
// # Concurrency
//
// A Model belongs to the program that runs it.
//
// # Limitations
//
// Widths are numbers of characters: names are made of ASCII.
package top
