package cpu

// LineSize is the distance in bytes that keeps two variables from disturbing each other's
// cache: 128 where the hardware fetches lines of 64 in adjacent pairs, as on amd64, and on
// arm64, where some cores have lines of that size; elsewhere the line size that x/sys/cpu
// pads to, 64 at least.
const LineSize int = 128
