package vm

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// guestPackage holds the tests that run inside.
const guestPackage = "example.org/pmd/pmd/afxdp/internal/vm/guest"

// guestModules are the modules that the guest's tests need, if they are not built
// into the kernel.
var guestModules = [...]string{"virtio_pci", "virtio_net", "veth", "vmxnet3", "igb", "e1000e"}

// BuildGuest compiles the guest's tests into a static program in dir.
func BuildGuest(ctx context.Context, dir string) (program string, err error) {
	program = filepath.Join(dir, "guest.test")
	_, err = commandEnv(ctx, ".", []string{"CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64"},
		"go", "test", "-c", "-ldflags=-s -w", "-o", program, guestPackage)
	if err != nil {
		return "", fmt.Errorf("build the guest's tests: %w", err)
	}
	return program, nil
}

// Initramfs writes the initramfs of a kernel into dir, with program as its init.
func (k *Kernel) Initramfs(dir, program string) (file string, err error) {
	modules, err := loadModules(k.Modules, guestModules[:])
	if err != nil {
		return "", fmt.Errorf("kernel %s: %w", k.Release, err)
	}
	file = filepath.Join(dir, "initramfs-"+k.Release)
	if err := writeInitramfs(file, program, modules); err != nil {
		os.Remove(file)
		return "", fmt.Errorf("kernel %s: initramfs: %w", k.Release, err)
	}
	return file, nil
}
