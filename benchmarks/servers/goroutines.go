// The design of Mercure-like hubs: `goroutines PORT`, net/http with a goroutine and a channel per client.
package main

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"sync"
)

var (
	mutex   sync.Mutex
	clients = map[chan []byte]struct{}{}
)

func sse(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	flusher := w.(http.Flusher)
	flusher.Flush()
	events := make(chan []byte, 1000)
	mutex.Lock()
	clients[events] = struct{}{}
	mutex.Unlock()
	defer func() {
		mutex.Lock()
		delete(clients, events)
		mutex.Unlock()
	}()
	for {
		select {
		case body := <-events:
			if _, err := w.Write(body); err != nil {
				return
			}
			flusher.Flush()
		case <-r.Context().Done():
			return
		}
	}
}

func main() {
	go func() {
		lines := bufio.NewScanner(os.Stdin)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			body := []byte(fmt.Sprintf("data: %s\n\n", lines.Bytes()))
			mutex.Lock()
			for events := range clients {
				select {
				case events <- body:
				default: // too slow
				}
			}
			mutex.Unlock()
		}
		os.Exit(0)
	}()
	http.HandleFunc("/sse", sse)
	if err := http.ListenAndServe("127.0.0.1:"+os.Args[1], nil); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
