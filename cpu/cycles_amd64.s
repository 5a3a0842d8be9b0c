#include "textflag.h"

// func Cycles() uint64
TEXT ·Cycles(SB), NOSPLIT, $0-8
	RDTSC                    // EDX:EAX; the upper halves are cleared
	SHLQ $32, DX
	ORQ  DX, AX
	MOVQ AX, ret+0(FP)
	RET

// func cpuidLeaf(leaf uint32) (eax, edx uint32)
TEXT ·cpuidLeaf(SB), NOSPLIT, $0-16
	MOVL leaf+0(FP), AX
	XORL CX, CX              // subleaf 0
	CPUID
	MOVL AX, eax+8(FP)
	MOVL DX, edx+12(FP)
	RET
