// Command web is the small web server of the demo and the tests: it answers
// with one page, tells each request on its standard output, and ends cleanly on SIGTERM.
package main

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	addr := flag.String("listen", ":80", "address to listen on")
	text := flag.String("text", "Hello from a container", "what the page says")
	slow := flag.Duration("slow", 0, "how long an answer takes")
	flag.Parse()
	host, _ := os.Hostname()
	srv := &http.Server{Addr: *addr, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Printf("%s %s\n", r.Method, r.URL.Path)
		time.Sleep(*slow)
		fmt.Fprintf(w, "%s\nhost %s, path %s\n", *text, host, r.URL.Path)
	})}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	go func() {
		<-ctx.Done()
		shut, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = srv.Shutdown(shut)
	}()
	fmt.Println("listening on", *addr)
	if err := srv.ListenAndServe(); err != http.ErrServerClosed {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("bye")
}
