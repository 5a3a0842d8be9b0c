package journal_test

import (
	"fmt"
	"os"

	"example.org/pmd/pmd/journal"
)

// A setting is written down, changed, put back, and the note removed. A process
// that is killed in between leaves the note to the next one.
func Example() {
	dir, err := os.MkdirTemp("", "journal")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	j := journal.New(dir)
	note, err := j.Write(journal.Record{Interface: "eth1", Index: 3, Changes: []journal.Change{
		{Kind: "feature", Key: "rx-lro", Was: "on", Set: "off"},
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	// … change the setting; then the process dies.
	_ = note.Close()

	orphans, err := j.Orphans()
	for _, n := range orphans {
		for _, c := range n.Changes {
			fmt.Printf("%s: %s %s was %s\n", n.Interface, c.Kind, c.Key, c.Was)
		}
		_ = n.Remove()
	}
	fmt.Println(len(orphans), err)
	// Output:
	// eth1: feature rx-lro was on
	// 1 <nil>
}
