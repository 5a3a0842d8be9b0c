package service

import (
	"fmt"
	"net"
	"os"
	"strings"
)

// States for Notify (sd_notify(3)).
const (
	// Ready: the service does its work.
	Ready = "READY=1"
	// Stopping: it is on its way to its end.
	Stopping = "STOPPING=1"
)

// Status returns the state that describes the service in words.
func Status(text string) string { return "STATUS=" + strings.ReplaceAll(text, "\n", " ") }

// Notify tells the service manager these states in one datagram. It does nothing if
// there is none, and does not wait for one that does not listen.
func Notify(states ...string) error {
	name := os.Getenv("NOTIFY_SOCKET")
	if name == "" {
		return nil
	}
	// Go takes a leading @ for the abstract namespace, as the protocol does.
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("service manager: %w", err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte(strings.Join(states, "\n"))); err != nil {
		return fmt.Errorf("service manager: %w", err)
	}
	return nil
}
