package builtins

import (
	"io"
	"strconv"
	"strings"
	"time"

	"nsh/runtime/container"
	"nsh/runtime/fault"
)

type logsParams struct {
	Container  ContainerRef `arg:"CONTAINER"`
	Details    NotBuilt     `flag:"details" type:"bool" doc:"Show extra details provided to logs"`
	Follow     bool         `flag:"follow,f" doc:"Follow log output"`
	Since      string       `flag:"since" doc:"Show logs since timestamp (e.g. \"2013-01-02T13:23:37Z\") or relative (e.g. \"42m\" for 42 minutes)"`
	Tail       string       `flag:"tail,n" def:"all" doc:"Number of lines to show from the end of the logs"`
	Timestamps bool         `flag:"timestamps,t" doc:"Show timestamps"`
	Until      string       `flag:"until" doc:"Show logs before a timestamp (e.g. \"2013-01-02T13:23:37Z\") or relative (e.g. \"42m\" for 42 minutes)"`
}

// Logs shows what a container has written. A script gets the text, a command
// line the two streams as they were.
var Logs = Define(Verb{
	Paths:  []string{"logs", "container logs"},
	Short:  "Fetch the logs of a container",
	Effect: Reads,
	Example: `job = run("alpine", "echo", "hello", name = "job", detach = True)
job.wait()
print(job.logs())`,
}, func(call *Call, p *logsParams) (string, error) {
	now := time.Now()
	opts := container.LogOptions{Follow: p.Follow, Tail: -1}
	var err error
	if opts.Since, err = logTime(p.Since, now); err != nil {
		return "", wrong(fault.New(fault.Invalid, "invalid value for \"since\": %s", err))
	}
	if opts.Until, err = logTime(p.Until, now); err != nil {
		return "", wrong(fault.New(fault.Invalid, "invalid value for \"until\": %s", err))
	}
	if p.Tail != "all" && p.Tail != "" {
		// docker takes what is no number for "all"
		if n, err := strconv.Atoi(p.Tail); err == nil && n >= 0 {
			opts.Tail = n
		}
	}
	var text strings.Builder
	err = call.Containers.Logs(call.Context, string(p.Container), opts, func(l container.LogLine) error {
		var w io.Writer = call.Stdout
		switch {
		case call.Script:
			w = &text
		case l.Stream == "stderr":
			w = call.Stderr
		}
		if p.Timestamps {
			if _, err := io.WriteString(w, l.Time.UTC().Format("2006-01-02T15:04:05.000000000Z07:00")+" "); err != nil {
				return err
			}
		}
		_, err := w.Write(l.Text)
		return err
	})
	return text.String(), err
}, nil)

// logTime takes docker's times: a duration before now, RFC 3339 and what is
// left of it when parts are missing, or seconds since 1970.
func logTime(s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(s); err == nil {
		return now.Add(-d), nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02T15", "2006-01-02Z07:00", "2006-01-02", "2006-01-02T15:04Z07:00"} {
		if t, err := time.ParseInLocation(layout, s, time.Local); err == nil {
			return t, nil
		}
	}
	sec, frac, _ := strings.Cut(s, ".")
	n, err := strconv.ParseInt(sec, 10, 64)
	if err != nil {
		return time.Time{}, fault.New(fault.Invalid, "failed to parse value as time or duration: %q", s)
	}
	var nanos int64
	if frac != "" {
		frac = (frac + "000000000")[:9]
		if nanos, err = strconv.ParseInt(frac, 10, 64); err != nil {
			return time.Time{}, fault.New(fault.Invalid, "failed to parse value as time or duration: %q", s)
		}
	}
	return time.Unix(n, nanos), nil
}
