package vm

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
)

// ModuleDir is where the guest finds its modules: files whose names in order are
// the order to load them in.
const ModuleDir = "/modules"

// cpioWriter writes the archive that the kernel unpacks into its first file system:
// the "newc" format, a header of hexadecimal fields, the name and the data, each
// filled up to four bytes (Documentation/driver-api/early-userspace/buffer-format.rst).
type cpioWriter struct {
	w     io.Writer
	n     int64
	inode int
	err   error
}

const (
	modeDir  = 0o040755
	modeFile = 0o100755
	modeChar = 0o020600
)

// entry writes one file.
func (c *cpioWriter) entry(name string, mode, major, minor int, data []byte) {
	c.inode++
	name = strings.TrimPrefix(name, "/")
	c.write([]byte("070701"))
	for _, field := range []int{
		c.inode, mode, 0, 0, 1, 0, len(data), // inode, mode, uid, gid, links, mtime, size
		0, 0, major, minor, len(name) + 1, 0, // device it is on, device it is, name with its zero, no checksum
	} {
		c.write(fmt.Appendf(nil, "%08x", field))
	}
	c.write(append([]byte(name), 0))
	c.pad()
	c.write(data)
	c.pad()
}

// close writes the entry that ends the archive.
func (c *cpioWriter) close() error {
	c.inode = -1
	c.entry("TRAILER!!!", 0, 0, 0, nil)
	return c.err
}

func (c *cpioWriter) pad() { c.write(make([]byte, -c.n&3)) }

func (c *cpioWriter) write(b []byte) {
	if c.err != nil {
		return
	}
	var n int
	n, c.err = c.w.Write(b)
	c.n += int64(n)
}

// writeInitramfs writes an initramfs that runs a static program as init.
func writeInitramfs(file, program string, modules []module) (err error) {
	init, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := f.Close(); err == nil {
			err = cerr
		}
	}()
	b := bufio.NewWriterSize(f, 1<<20)
	c := &cpioWriter{w: b}
	for _, dir := range []string{"dev", "proc", "sys", "run", "tmp", ModuleDir} {
		c.entry(dir, modeDir, 0, 0, nil)
	}
	c.entry("dev/console", modeChar, 5, 1, nil)
	c.entry("init", modeFile, 0, 0, init)
	for i, m := range modules {
		c.entry(path.Join(ModuleDir, fmt.Sprintf("%03d-%s.ko", i, m.name)), modeFile, 0, 0, m.data)
	}
	if err := c.close(); err != nil {
		return err
	}
	return b.Flush()
}
