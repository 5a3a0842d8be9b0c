package queue

import "syscall"

const (
	einval  = syscall.EINVAL
	enomem  = syscall.ENOMEM
	enobufs = syscall.ENOBUFS
)
