package ctl

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.org/pmd/cmd/pmd/internal/engine"
)

// caller makes requests on a socket as curl does.
type caller struct {
	t    testing.TB
	http http.Client
}

func newCaller(t testing.TB, socket string) *caller {
	c := &caller{t: t, http: http.Client{Timeout: time.Minute, Transport: &http.Transport{
		MaxIdleConnsPerHost: 16,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", socket)
		},
	}}}
	t.Cleanup(c.http.CloseIdleConnections)
	return c
}

// call returns the status and what the answer says is wrong. The status is 0 if the connection
// was cut, as it is on a machine so busy that the server's own patience ended.
func (c *caller) call(method, path, body string) (status int, says string) {
	req, err := http.NewRequestWithContext(c.t.Context(), method, "http://pmd"+path, strings.NewReader(body))
	if !assert.NoError(c.t, err) {
		return 0, ""
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if !assert.NoError(c.t, err) {
		return 0, ""
	}
	var f failure
	if resp.StatusCode/100 != 2 {
		assert.NoError(c.t, json.Unmarshal(b, &f), "%s %s: %s", method, path, b)
		assert.NotContains(c.t, f.Error, "\n")
	}
	return resp.StatusCode, f.Error
}

// quote writes a JSON string.
func quote(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

// Whatever is asked of the interface layer on the socket, each call with each kind of wrong word:
// the answer is an error that names the call and the interface, nothing has changed, and frames
// flow on.
func TestEachCallRefusesBadInput(t *testing.T) {
	e := running(t)
	c := newCaller(t, served(t, e))
	ctx := context.Background()
	_, err := e.AddAddr(ctx, "a", engine.AddrSettings{Address: "192.0.2.1/24"})
	require.NoError(t, err)
	_, err = e.Join(ctx, "a", "224.0.0.251")
	require.NoError(t, err)
	before, err := e.Interface(ctx, "a")
	require.NoError(t, err)

	odd := []string{"", " ", "\x00", "a\nb", "a b", "ä", "\xff\xfe", "..", "a/b", "a%b", "a:b", "a,b", "-a", strings.Repeat("x", 16), strings.Repeat("y", 300)}
	set := func(key string, values ...string) (bodies []string) {
		for _, v := range values {
			bodies = append(bodies, fmt.Sprintf(`{%q:%s}`, key, v))
		}
		return bodies
	}
	words := func(key string, more ...string) (bodies []string) {
		for _, w := range append(more, odd...) {
			bodies = append(bodies, fmt.Sprintf(`{%q:%s}`, key, quote(w)))
		}
		return bodies
	}
	join := func(lists ...[]string) (all []string) {
		for _, l := range lists {
			all = append(all, l...)
		}
		return all
	}
	shapes := []string{``, `null`, `[]`, `7`, `{`, `{}`, `{"up":true}x`, `{"flags":1}`, `{"up":"yes"}`, `{"address":1}`, `{"group":[]}`, `{"name":{}}`, strings.Repeat("[", 10000)}
	addrs := words("address", "192.0.2.1/33", "192.0.2/24", "0.0.0.0/0", "255.255.255.255/32", "224.0.0.1/4", "::/0", "ff02::1/128", "fe80::1%a/64",
		"fe80::1%zz", "::ffff:192.0.2.9/120", "192.0.2.9/24/24", "2001:db8::/129", "192.0.2.9/-1", "999.0.0.1/24", "2001:db8::1::2/64")
	for _, call := range []struct {
		method, path string
		call         string // as errors name it
		bodies       []string
	}{
		{"PUT", "", "set", join(
			set("mtu", "0", "-1", "71", "65536", "1000000000", "1e99", "1.5", `"9000"`, "null "),
			set("metric", "1e30", `"x"`), set("up", "1", `"up"`), set("promisc", `"on"`), set("allmulti", "[]"),
			words("name", "b"), words("lladdr", "ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:01", "00:00:00:00:00:00", "02:00:00:00:00", "02:00:00:00:00:00:00:01"),
			words("pollcpu", "9999", "-1", "w7", "w", "0-999999", "1,,2", "4294967296", "w0,w0,w0"),
			set("caps_on", `["FOO"]`, `[""]`, `["RXCSUM"]`, `"RXCSUM"`, `[1]`), set("caps_off", `["BAR"]`),
			[]string{`{"pollcpu":"w0","polling":false}`, `{"up":false,"metric":7,"mtu":0}`, `{"name":"c","mtu":1000000000}`, `{"caps_on":["RXCSUM"],"caps_off":["RXCSUM"]}`},
		)},
		{"POST", "/addresses", "add address", join(addrs, []string{
			`{"address":"192.0.2.1/24"}`, `{"address":"192.0.2.1/25"}`, `{"address":"192.0.2.9/24","peer":"192.0.2.10"}`, `{"address":"192.0.2.9/32","peer":"::1"}`, `{"address":"192.0.2.9/32","peer":"x"}`,
		})},
		{"DELETE", "/addresses", "delete address", join(addrs, []string{`{"address":"192.0.2.2"}`, `{"address":"192.0.2.1/25"}`, `{"address":"2001:db8::1"}`})},
		{"POST", "/groups", "join group", words("group", "224.0.0.251", "192.0.2.1", "::1", "::ffff:224.0.0.1", "ff02::1%a", "02:00:00:00:00:01", "01:00:5e", "224.0.0.1/4")},
		{"DELETE", "/groups", "leave group", words("group", "224.0.0.252", "01:00:5e:00:00:fb", "192.0.2.1", "ff02::1")},
	} {
		for _, name := range []string{"a", "zz", "7", strings.Repeat("y", 300), "\xff\x00", "a b", "%2f"} {
			for _, body := range append(shapes, call.bodies...) {
				status, says := c.call(call.method, "/v1/interfaces/"+url.PathEscape(name)+call.path, body)
				if !assert.Contains(t, []int{400, 404, 409, 422}, status, "%s %q %s: %s", call.method, name, body, says) {
					continue
				}
				assert.Contains(t, says, call.call+" on ", "%s %q %s", call.method, name, body)
				assert.Less(t, len(says), 700, "%s %q %s", call.method, name, body)
				if name == "a" || name == "zz" {
					assert.Contains(t, says, " on "+name+":", "%s %q %s", call.method, name, body)
				}
			}
		}
	}
	for _, body := range join(shapes, words("name", "eth0", "null99999", "null007", "null-1", "nu ll0", "ring0x"), []string{
		`{"name":"null","params":{"color":"red"}}`, `{"name":"null","params":{"size":"0"}}`, `{"name":"null","params":{"name":"x"}}`, `{"name":"null","params":{"size":"64,name=x"}}`,
		`{"name":"null","params":{"":"x"}}`, `{"name":"null","params":{"size":1}}`, `{"name":"pcap","params":{"rx":"/nowhere/at/all"}}`, `{"name":"ring"}`, `{"name":"null","params":{"pollcpu":"9999"}}`,
		`{"name":"null","params":{"queues":"1000000000"}}`, `{"name":"null","params":{"x\u0000":"1"}}`,
	}) {
		status, says := c.call("POST", "/v1/interfaces", body)
		assert.Contains(t, []int{400, 404, 409, 422, 500}, status, "create %s: %s", body, says)
		assert.Contains(t, says, "create", "%s", body)
		assert.Less(t, len(says), 700, "%s", body)
	}
	for _, name := range []string{"a", "zz", "null0", "\xff"} {
		status, says := c.call("DELETE", "/v1/interfaces/"+url.PathEscape(name), "")
		assert.Contains(t, []int{404, 422}, status, "%s: %s", name, says)
		assert.Contains(t, says, "destroy on ", name)
	}
	for _, name := range []string{"zz", "\xff", strings.Repeat("y", 300)} {
		status, says := c.call("GET", "/v1/interfaces/"+url.PathEscape(name), "")
		assert.Equal(t, 404, status, says)
		assert.Contains(t, says, "describe on ", name)
	}

	after, err := e.Interface(ctx, "a")
	require.NoError(t, err)
	after.LastChange = before.LastChange // what was taken back was a change
	assert.Equal(t, before, after, "nothing has changed")
	trafficGoesOn(t, e)
}

// trafficGoesOn waits for frames of the first port.
func trafficGoesOn(t *testing.T, e *engine.Engine) {
	t.Helper()
	ctx := context.Background()
	before, err := e.Stats(ctx)
	require.NoError(t, err)
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		now, err := e.Stats(ctx)
		require.NoError(t, err)
		if now.Ports[0].RxPackets > before.Ports[0].RxPackets {
			return
		}
		require.True(t, time.Now().Before(end), "traffic goes on")
	}
}

// Calls on an interface that is created and destroyed all the while: each is done, or told that
// the interface is not there.
func TestCallsWhileAnInterfaceComesAndGoes(t *testing.T) {
	e := running(t)
	socket := served(t, e)
	times := 30
	if testing.Short() {
		times = 10
	}
	var wg sync.WaitGroup
	stop := make(chan struct{})
	done := func() bool {
		select {
		case <-stop:
			return true
		default:
			return false
		}
	}
	for i, r := range []struct{ method, path, body string }{
		{"PUT", "/v1/interfaces/null0", `{"metric":3,"up":false}`}, {"PUT", "/v1/interfaces/null0", `{"up":true}`}, {"GET", "/v1/interfaces/null0", ""},
		{"POST", "/v1/interfaces/null0/addresses", `{"address":"10.0.0.1/8"}`}, {"DELETE", "/v1/interfaces/null0/addresses", `{"address":"10.0.0.1"}`},
		{"POST", "/v1/interfaces/null0/groups", `{"group":"224.0.0.251"}`}, {"DELETE", "/v1/interfaces/null0/groups", `{"group":"224.0.0.251"}`},
		{"DELETE", "/v1/interfaces/null0", ""},
	} {
		wg.Go(func() {
			c := newCaller(t, socket)
			for n := 0; !done(); n++ {
				status, says := c.call(r.method, r.path, r.body)
				switch status {
				case 200, 503, 0: // 503: its turn did not come in time
				case 404, 409:
					assert.Contains(t, says, " on null0:", "caller %d", i)
				default:
					t.Errorf("%s %s: status %d: %s", r.method, r.path, status, says)
				}
			}
		})
	}
	c := newCaller(t, socket)
	made := 0
	for end := time.Now().Add(time.Minute); made < times && time.Now().Before(end); {
		switch status, says := c.call("POST", "/v1/interfaces", `{"name":"null0","params":{"rx":"off"}}`); status {
		case 201:
			made++
		case 409, 503, 0:
		default:
			t.Errorf("create: status %d: %s", status, says)
		}
	}
	close(stop)
	wg.Wait()
	assert.Positive(t, made)
	trafficGoesOn(t, e)
	t.Logf("%d times created", made)
}
