// Package report makes a page of results: one HTML file that needs nothing else, neither
// a network nor a script.
//
// # Model
//
// [Read] reads what `pmd bench run`, `pmd bench peers` and `pmd bench gate` wrote with
// --json, and [Write] makes the page. For each scenario the newest result counts; older ones
// are its history. The page has charts of the throughput by frame size, with the rates of
// Ethernet links beside it, of all scenarios, of latencies, of ratios to peers, of the
// gate's verdicts, and of the history: those for which there are results. Beside each chart is a table with the same figures. Charts are SVG, drawn
// twice, for wide and for narrow windows; colours follow the reader's preference for light
// or dark.
//
// [LineRate] is what an Ethernet link carries at most.
//
// # Concurrency
//
// Write keeps nothing between calls; several may run at once on different writers.
//
// # Limitations
//
// Results of different machines stand side by side as they are; the page names the
// machines, but corrects nothing.
package report
