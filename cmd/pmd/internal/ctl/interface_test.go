package ctl

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.org/pmd/cmd/pmd/internal/drivers"
	"example.org/pmd/cmd/pmd/internal/engine"
	"example.org/pmd/ifnet"
	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
)

// running starts an engine with two ports that is stopped with the test.
func running(t testing.TB) *engine.Engine {
	t.Helper()
	var specs []pmd.Spec
	for _, text := range []string{"null:name=a", "null:name=b"} {
		s, err := pmd.ParseSpec(text)
		require.NoError(t, err)
		specs = append(specs, s)
	}
	e, err := engine.Start(context.Background(), engine.Config{
		Registry: drivers.Registry(), Ports: specs, Unpinned: 1, Pool: mbuf.Config{Frames: 1024, HugePages: mbuf.HugeOff},
	})
	require.NoError(t, err)
	t.Cleanup(func() { e.Stop(); assert.NoError(t, e.Wait()) })
	return e
}

func TestInterfaceRequests(t *testing.T) {
	e := running(t)
	c := NewClient(served(t, e))
	defer c.Close()
	ctx := context.Background()
	up, name := false, "wan"
	f, err := c.SetInterface(ctx, "a", engine.IfSettings{Up: &up, Name: &name})
	require.NoError(t, err)
	assert.Equal(t, "wan", f.Name)
	assert.False(t, f.AdminUp)
	f, err = c.AddAddr(ctx, "wan", engine.AddrSettings{Address: "192.0.2.1/24"})
	require.NoError(t, err)
	assert.Equal(t, []engine.NetAddress{{Address: "192.0.2.1/24", Broadcast: "192.0.2.255"}}, f.Addresses)
	f, err = c.DelAddr(ctx, "0", engine.AddrSettings{Address: "192.0.2.1"})
	require.NoError(t, err)
	assert.Empty(t, f.Addresses)
	f, err = c.Join(ctx, "wan", "ff02::fb")
	require.NoError(t, err)
	assert.Len(t, f.Groups, 2)
	f, err = c.Leave(ctx, "wan", "ff02::fb")
	require.NoError(t, err)
	assert.Empty(t, f.Groups)
	f, err = c.Create(ctx, "ring", map[string]string{"loop": "on"})
	require.NoError(t, err)
	assert.Equal(t, "ring0", f.Name)
	kinds, err := c.Kinds(ctx)
	require.NoError(t, err)
	assert.Len(t, kinds, 4)
	require.NoError(t, c.Destroy(ctx, "ring0"))
	for status, err := range map[int]error{
		404: c.Destroy(ctx, "ring0"), 422: c.Destroy(ctx, "wan"),
		409: func() error { _, err := c.SetInterface(ctx, "b", engine.IfSettings{Name: &name}); return err }(),
	} {
		var answer *Error
		require.ErrorAs(t, err, &answer)
		assert.Equal(t, status, answer.Status, answer.Message)
	}
	_, err = c.Interface(ctx, "b")
	require.NoError(t, err, "nothing has happened to it")
}

// Who follows events sees each in order; who takes none costs nobody anything, and a stream
// ends with the process.
func TestEvents(t *testing.T) {
	e := running(t)
	path := served(t, e)
	c := NewClient(path)
	defer c.Close()
	ctx := context.Background()

	// One that asks and never reads.
	stalled, err := net.Dial("unix", path)
	require.NoError(t, err)
	defer stalled.Close()
	_, err = fmt.Fprintf(stalled, "GET /v1/events HTTP/1.1\r\nHost: pmd\r\n\r\n")
	require.NoError(t, err)

	ready, done := make(chan struct{}), make(chan error, 1)
	var seen []string
	go func() {
		done <- c.Events(ctx, func() { close(ready) }, func(ev ifnet.Event) error {
			if ev.Kind != ifnet.EventLost {
				seen = append(seen, fmt.Sprintf("%s %s %s", ev.Kind, ev.Interface, ev.Address))
			}
			return nil
		})
	}()
	select {
	case <-ready:
	case <-time.After(30 * time.Second):
		t.Fatal("no answer")
	}
	for range 100 { // more than anything between us holds
		_, err := e.AddAddr(ctx, "a", engine.AddrSettings{Address: "192.0.2.1/24"})
		require.NoError(t, err)
		_, err = e.DelAddr(ctx, "a", engine.AddrSettings{Address: "192.0.2.1"})
		require.NoError(t, err)
	}
	e.Stop()
	require.NoError(t, e.Wait())
	select {
	case err := <-done:
		require.NoError(t, err, "the process has ended")
	case <-time.After(30 * time.Second):
		t.Fatal("the stream goes on")
	}
	require.NotEmpty(t, seen)
	assert.Contains(t, seen, "addr_del a 192.0.2.1/24")
	assert.Contains(t, seen[len(seen)-1], "detach a", "the last one is there, whatever was lost before")
}

// listened is an engine whose events are those of another System.
type listened struct {
	*engine.Engine
	sys *ifnet.System
}

func (l listened) Listen() *ifnet.Listener { return l.sys.Listen(16) }

// A listener that does not read for a while is told on the socket how many events it lost,
// the oldest, in their place; all others are there, in order.
func TestSlowListenerIsTold(t *testing.T) {
	sys, err := ifnet.New(ifnet.Config{})
	require.NoError(t, err)
	c := NewClient(served(t, listened{running(t), sys}))
	defer c.Close()
	ready, read, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	var seen []ifnet.Event
	go func() {
		done <- c.Events(t.Context(), func() { close(ready) }, func(ev ifnet.Event) error {
			if len(seen) == 0 {
				<-read // this slow
			}
			seen = append(seen, ev)
			return nil
		})
	}()
	select {
	case <-ready:
	case <-time.After(30 * time.Second):
		t.Fatal("no answer")
	}
	const events = 20_000 // many times what a socket holds
	text := strings.Repeat("x", 100)
	for range events {
		sys.Announce(ifnet.Event{Kind: ifnet.EventChange, Interface: "a", Text: text})
	}
	close(read)
	require.NoError(t, sys.Close())
	select {
	case err := <-done:
		require.NoError(t, err)
	case <-time.After(30 * time.Second):
		t.Fatal("the stream goes on")
	}
	next, lost, told := uint64(1), uint64(0), 0
	for _, ev := range seen {
		if ev.Kind == ifnet.EventLost {
			require.NotZero(t, ev.Lost)
			next, lost = next+ev.Lost, lost+ev.Lost
			told++
			continue
		}
		require.Equal(t, next, ev.Seq, "after %d lost", lost)
		next++
	}
	assert.EqualValues(t, events, next-1, "every event is there or told to be lost")
	assert.NotZero(t, lost)
	t.Logf("%d of %d events were lost, told %d times", lost, events, told)
}

// A listener that is stopped for longer than any answer may take to be written is not cut
// off: it has lost the oldest, and is told.
func TestStoppedListenerIsTold(t *testing.T) {
	sys, err := ifnet.New(ifnet.Config{})
	require.NoError(t, err)
	s := NewServer(listened{running(t), sys}, discard)
	s.http.WriteTimeout = time.Millisecond
	conn, err := net.Dial("unix", servedBy(t, s))
	require.NoError(t, err)
	defer conn.Close()
	_, err = fmt.Fprintf(conn, "GET /v1/events HTTP/1.1\r\nHost: pmd\r\n\r\n")
	require.NoError(t, err)
	r := bufio.NewReader(conn)
	for { // the header, after which nothing is missed
		line, err := r.ReadString('\n')
		require.NoError(t, err)
		if line == "\r\n" {
			break
		}
	}
	text := strings.Repeat("x", 100)
	for range 20_000 { // many times what a socket holds
		sys.Announce(ifnet.Event{Kind: ifnet.EventChange, Interface: "a", Text: text})
	}
	time.Sleep(20 * s.http.WriteTimeout) // longer is as good
	require.NoError(t, sys.Close())
	rest, err := io.ReadAll(httputil.NewChunkedReader(r))
	require.NoError(t, err, "the stream ends in good order")
	assert.Contains(t, string(rest), `"kind":"lost"`)
	assert.Contains(t, string(rest), `"seq":20000,`)
}

// A client that goes in the middle of a call, and a thousand at once, leave the others alone.
func TestManyClients(t *testing.T) {
	e := running(t)
	path := served(t, e)
	for _, half := range []string{"PUT /v1/interfaces/a HTTP/1.1\r\nHost: pmd\r\nContent-Length: 100\r\n\r\n{\"up\":", "POST /v1/inter"} {
		conn, err := net.Dial("unix", path)
		require.NoError(t, err)
		_, err = conn.Write([]byte(half))
		require.NoError(t, err)
		require.NoError(t, conn.Close())
	}
	body := `{"metric":3}`
	conn, err := net.Dial("unix", path) // asks, and does not wait for the answer
	require.NoError(t, err)
	_, err = fmt.Fprintf(conn, "PUT /v1/interfaces/b HTTP/1.1\r\nHost: pmd\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	require.NoError(t, err)
	require.NoError(t, conn.Close())

	const clients = 1000
	var good, busy, cut atomic.Int64
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() {
			conn, err := net.DialTimeout("unix", path, 30*time.Second)
			if !assert.NoError(t, err) {
				return
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(60 * time.Second))
			body := fmt.Sprintf(`{"metric":%d}`, i)
			_, err = fmt.Fprintf(conn, "PUT /v1/interfaces/a HTTP/1.1\r\nHost: pmd\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
			if err != nil {
				cut.Add(1)
				return
			}
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil { // on a machine so busy that the server's own patience ended
				cut.Add(1)
				return
			}
			defer resp.Body.Close()
			switch resp.StatusCode {
			case http.StatusOK:
				good.Add(1)
			case http.StatusServiceUnavailable: // its turn did not come in time
				busy.Add(1)
			default:
				t.Errorf("status %s", resp.Status)
			}
		})
	}
	wg.Wait()
	assert.Equal(t, int64(clients), good.Load()+busy.Load()+cut.Load())
	t.Logf("%d answers, %d had no turn, %d were cut off", good.Load(), busy.Load(), cut.Load())
	assert.Positive(t, good.Load())
	trafficGoesOn(t, e)
}

// FuzzInterfaceCalls: whatever is asked of interfaces that exist, the answer is JSON with a
// status that says whose fault it is, and the interface layer goes on.
func FuzzInterfaceCalls(f *testing.F) {
	for _, s := range []string{
		`{"up":false}`, `{"mtu":0}`, `{"mtu":1000000000}`, `{"name":""}`, `{"name":"a/b"}`, `{"name":"` + strings.Repeat("x", 300) + `"}`, `{"name":"\u0000"}`,
		`{"lladdr":"ff:ff:ff:ff:ff:ff"}`, `{"pollcpu":"9999"}`, `{"pollcpu":"-1"}`, `{"caps_on":["FOO"]}`, `{"up":true,"promisc":true,"metric":-1}`, `{"polling":false}`,
		`{"address":"192.0.2.1/24"}`, `{"address":"192.0.2.1/33"}`, `{"address":"fe80::1%eth0/64"}`, `{"address":"::ffff:1.2.3.4/96"}`, `{"address":"1.2.3.4/24","peer":"::1"}`,
		`{"group":"224.0.0.1"}`, `{"group":"01:00:5e:00:00:01"}`, `{"group":""}`, `{"name":"ring","params":{"loop":"on"}}`, `{"name":"null99999999999999999999"}`,
		`{"name":"null","params":{"size":"0"}}`, `{"name":"pcap","params":{"rx":"/nowhere"}}`, `{"flags":1}`, `null`, `[]`, ``,
	} {
		f.Add("a", []byte(s))
	}
	f.Add("zz", []byte(`{"up":true}`))
	f.Add("\x00\xff", []byte(`{"up":true}`))
	f.Add(strings.Repeat("y", 200), []byte(`{"up":true}`))
	e := running(f)
	s := NewServer(e, discard)
	f.Fuzz(func(t *testing.T, name string, body []byte) {
		var c Create
		if bytes.Contains(body, []byte("tap")) || bytes.Contains(body, []byte("pcap")) && json.Unmarshal(body, &c) == nil && len(c.Params) > 0 && c.Params["tx"] != "" {
			t.Skip("it would make what is not the test's")
		}
		path := "/v1/interfaces/" + url.PathEscape(name)
		for _, r := range []struct{ method, path string }{
			{"PUT", path}, {"POST", path + "/addresses"}, {"DELETE", path + "/addresses"}, {"POST", path + "/groups"}, {"DELETE", path + "/groups"},
			{"POST", "/v1/interfaces"}, {"GET", path}, {"GET", "/v1/interfaces"},
		} {
			if name == "" || name == "." || name == ".." {
				return // no path of an interface
			}
			w := httptest.NewRecorder()
			s.ServeHTTP(w, httptest.NewRequest(r.method, r.path, bytes.NewReader(body)))
			device := w.Code == http.StatusInternalServerError && r.path == "/v1/interfaces" // which cannot be opened
			if w.Code >= 500 && w.Code != http.StatusServiceUnavailable && !device || !json.Valid(w.Body.Bytes()) && w.Code/100 != 3 {
				t.Fatalf("%s %s: status %d: %s", r.method, r.path, w.Code, w.Body)
			}
			if w.Code == http.StatusCreated {
				var made engine.Interface
				if err := json.Unmarshal(w.Body.Bytes(), &made); err != nil {
					t.Fatal(err)
				}
				if err := e.Destroy(context.Background(), made.Name); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}
