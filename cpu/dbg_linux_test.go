//go:build linux

package cpu

import (
	"fmt"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"
)

func TestDbg(t *testing.T) {
	keep, _ := twoCPUs(t)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				var inner sync.WaitGroup
				for range 4 {
					inner.Go(func() {
						runtime.LockOSThread() // and no unlock: the thread ends
						time.Sleep(100 * time.Microsecond)
					})
				}
				inner.Wait()
			}
		})
	}
	s := SetOf(keep)
	for i := range 2000 {
		c := &confinement{want: s, old: map[int]Set{}}
		if err := c.take(nil); err != nil {
			t.Fatal(err)
		}
		bad := false
		for tid, mask := range masks(t) {
			if !mask.Equal(s) {
				fmt.Println("escaped", tid, mask, c.old[tid])
				bad = true
			}
		}
		for tid, m := range c.old {
			if m.Equal(s) {
				fmt.Println("old is keep", i, tid)
				bad = true
			}
		}
		log := ""
		ex := []int{}
		quiet := 0
		for w := range 64 {
			ch, ended, err := walkThreads(ex, func(tid int, now Set) (bool, error) {
				log += fmt.Sprint(tid, "=", now, " ")
				if !now.Equal(c.got) {
					return false, nil
				}
				mask, known := c.old[tid]
				if !known {
					mask = c.home
				}
				return true, setThreadAffinity(tid, mask)
			})
			if err != nil {
				t.Fatal(err)
			}
			log += fmt.Sprintln("\nwalk", w, ch, ended)
			ex = append(ex, ch...)
			if len(ch) > 0 {
				quiet = 0
				awaitClones()
				continue
			}
			if quiet++; !ended || quiet == 8 {
				break
			}
		}
		for tid, mask := range masks(t) {
			if mask.Equal(SetOf(keep)) {
				st, _ := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/status", tid))
				fmt.Println("still", i, tid, c.old[tid], c.home, "except", ex, "\n", log, string(st))
				bad = true
			}
		}
		if bad {
			break
		}
	}
	close(stop)
	wg.Wait()
}
