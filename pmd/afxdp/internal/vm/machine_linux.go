package vm

import (
	"os/exec"
	"syscall"
)

// dieWithParent has the kernel end the child should this process be killed.
func dieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

// diskFull reports whether nothing more can be written into a folder.
func diskFull(dir string) bool {
	var st syscall.Statfs_t
	return syscall.Statfs(dir, &st) == nil && st.Bavail == 0
}
