// Package show writes what the program knows as tables for people.
//
// # Model
//
// A [Table] has a header and rows of text; columns are as wide as their widest
// cell, words to the left, numbers to the right. Numbers are made readable by
// [Count], [Bytes], [PPS], [BPS], [Share] and [Nanoseconds]. Rows and columns come
// in an order that does not change from call to call.
//
// # Concurrency
//
// A Table belongs to one goroutine. The functions may be called from any.
//
// # Limitations
//
// A cell's width is its number of characters, which is right for the ASCII that
// names are made of.
package show
