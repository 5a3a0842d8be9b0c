package report_test

import (
	"bytes"
	"fmt"
	"strings"

	"example.org/pmd/bench/report"
)

// A page of what `pmd bench run --json` wrote.
func Example() {
	lines := `{"version":1,"name":"driver=null/mode=io/size=64","scenario":{"driver":"null","mode":"io","size":64},"rounds":[{"pps":6e8}],"pps":6e8,"ns_per_packet":1.67}`
	records, err := report.Read(strings.NewReader(lines))
	if err != nil {
		fmt.Println(err)
		return
	}
	var page bytes.Buffer
	err = report.Write(&page, records)
	fmt.Println(strings.HasPrefix(page.String(), "<!DOCTYPE html>"), err)
	// What a 100 Gbit/s link carries of such frames, which have no check sequence here.
	fmt.Printf("%.1f Mpps\n", report.LineRate(records.Results[0].Scenario, 100e9)/1e6)
	// Output:
	// true <nil>
	// 142.0 Mpps
}
