// Package config reads and writes the configuration file of pmd run.
//
// # Model
//
// The file is TOML: a key for each flag of pmd run, a table [[port]] for each
// port, a table [[interface]] for each interface that is not as it comes, and a table
// [[core]] for each core that polls in another way than the rest. [Parse] turns its bytes into a [Document], which knows the line of
// everything, and says what is wrong with its form. What keys there are, and what
// their values may be, is for the caller to say: the command line's own grammar does,
// so that a flag and its key cannot differ.
//
// A mistake is a [Mistake] with line and key. All of them are told, not the first:
// after a line that is no TOML the rest of the file is read as if that line were
// empty.
//
// # Concurrency
//
// A Document belongs to whoever has it. The functions may be called from any
// goroutine.
//
// # Limitations
//
// Dotted keys and tables of other names have no meaning here and are refused.
package config
