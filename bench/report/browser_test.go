package report

import (
	"context"
	"encoding/json"
	"fmt"
	"html"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// probe is put into a copy of the page: it writes down what the browser made of it.
const probe = `<script>
addEventListener("load", () => {
	const out = {width: innerWidth, overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
		paper: getComputedStyle(document.body).backgroundColor, charts: []};
	for (const svg of document.querySelectorAll("figure svg")) {
		const box = svg.getBoundingClientRect();
		if (box.width == 0) continue; // the other width is shown
		const plot = svg.querySelector(".plot").getBoundingClientRect();
		const c = {id: svg.getAttribute("aria-labelledby"), axes: 0, ticks: 0, outside: [], empty: [], overlap: [], legend: svg.querySelectorAll(".legend text").length, series: 0, font: 99};
		const within = (r, b, slack) => r.left >= b.left - slack && r.right <= b.right + slack && r.top >= b.top - slack && r.bottom <= b.bottom + slack;
		const ticks = [];
		for (const text of svg.querySelectorAll("text")) {
			const r = text.getBoundingClientRect();
			if (r.width == 0 || !within(r, box, 1)) c.outside.push("text " + text.textContent);
			c.font = Math.min(c.font, parseFloat(getComputedStyle(text).fontSize) * box.width / svg.viewBox.baseVal.width);
			if (text.classList.contains("axis")) c.axes++;
			if (text.classList.contains("tick")) { c.ticks++; ticks.push([r, text.textContent]); }
		}
		for (let i = 0; i < ticks.length; i++) for (let k = i + 1; k < ticks.length; k++) {
			const [a, s] = ticks[i], [b, t] = ticks[k];
			if (a.left < b.right && b.left < a.right && a.top + 4 < b.bottom && b.top + 4 < a.bottom) c.overlap.push(s + " and " + t);
		}
		for (const g of svg.querySelectorAll(".series")) {
			const marks = g.querySelectorAll(".dot, .curve, .bar");
			if (marks.length == 0) c.empty.push(g.dataset.name);
			if (g.querySelector(".dot")) c.series++;
			for (const m of marks) if (!within(m.getBoundingClientRect(), plot, 8)) c.outside.push("series " + g.dataset.name);
		}
		out.charts.push(c);
	}
	parent.postMessage(JSON.stringify(out), "*");
});
</script>`

// frame is a page around it: no window of Chromium is as narrow as a phone.
const frame = `<!DOCTYPE html><meta name="color-scheme" content="light dark"><pre id="probe"></pre>
<script>addEventListener("message", e => { document.getElementById("probe").textContent = e.data; });</script>
<iframe src="page.html" width="%d" height="2000" style="border: 0; color-scheme: light dark"></iframe>`

// seen is what the probe writes.
type seen struct {
	Width, Overflow float64
	Paper           string
	Charts          []struct {
		ID                      string
		Axes, Ticks             int
		Outside, Empty, Overlap []string
		Legend, Series          int
		Font                    float64
	}
}

// browser returns where Chromium is. Without one the test is skipped, and with CI=true, where
// it should have been installed, it fails.
func browser(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	const missing = "chromium is not installed (apt-get install chromium): the page was not looked at in a browser"
	if os.Getenv("CI") == "true" {
		t.Fatal(missing)
	}
	t.Skip(missing)
	return ""
}

// look opens a page in a headless Chromium and returns what is seen.
func look(t *testing.T, chromium, path string, flags ...string) (s seen) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	args := append([]string{"--headless", "--disable-gpu", "--hide-scrollbars", "--virtual-time-budget=10000", "--user-data-dir=" + t.TempDir()}, flags...)
	if os.Geteuid() == 0 {
		args = append(args, "--no-sandbox") // it refuses to have one as root
	}
	cmd := exec.CommandContext(ctx, chromium, append(args, "--dump-dom", "file://"+path)...)
	out, err := cmd.Output()
	require.NoError(t, err)
	m := regexp.MustCompile(`(?s)<pre id="probe">(.*?)</pre>`).FindSubmatch(out)
	require.NotNil(t, m)
	require.NoError(t, json.Unmarshal([]byte(html.UnescapeString(string(m[1]))), &s), "%s", m[1])
	return s
}

// In a real browser, wide and as on a phone, light and dark: every chart has axes and labels
// of a size to read, which do not run into each other, a legend, and no series that is
// empty or leaves the plot; and the page is no wider than the window.
func TestInBrowser(t *testing.T) {
	if testing.Short() {
		t.Skip("a browser takes seconds")
	}
	chromium := browser(t)
	dir := t.TempDir()
	page := writtenAll(t, sample(), samplePeers(), sampleGate()...)
	page = regexp.MustCompile(`<meta http-equiv="Content-Security-Policy"[^>]*>`).ReplaceAllString(page, "")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "page.html"), []byte(strings.Replace(page, "</body>", probe+"</body>", 1)), 0o644))
	papers := map[string]bool{}
	for _, d := range []struct{ width, scheme int }{{1200, 1}, {390, 0}} { // 0 prefers dark
		path := filepath.Join(dir, "frame.html")
		require.NoError(t, os.WriteFile(path, fmt.Appendf(nil, frame, d.width), 0o644))
		s := look(t, chromium, path, "--window-size=1300,2100", "--blink-settings=preferredColorScheme="+strconv.Itoa(d.scheme))
		t.Logf("a window of %.0f pixels, %s", s.Width, s.Paper)
		papers[s.Paper] = true
		assert.InDelta(t, d.width, s.Width, 0)
		assert.Zero(t, s.Overflow, "the page is wider than the window")
		assert.Len(t, s.Charts, strings.Count(page, "<figure>"))
		for _, c := range s.Charts {
			assert.Empty(t, c.Outside, c.ID)
			assert.Empty(t, c.Empty, c.ID)
			assert.Empty(t, c.Overlap, c.ID)
			assert.GreaterOrEqual(t, c.Axes, 1, c.ID)
			assert.GreaterOrEqual(t, c.Ticks, 3, c.ID)
			assert.GreaterOrEqual(t, c.Font, 9.5, c.ID)
			assert.Positive(t, c.Series, c.ID)
			if c.Legend > 0 {
				assert.Equal(t, c.Series, c.Legend, c.ID)
			}
		}
	}
	assert.Len(t, papers, 2, "light and dark are alike")
}
