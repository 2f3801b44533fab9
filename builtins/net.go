package builtins

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"

	"nsh/lang"
	"nsh/runtime/fault"
)

// netModule is what a script can ask the network of the host.
//
//	net.tcp(address, timeout="1s")   True when something accepts connections there
//	net.http(url, method="GET", body="", headers={}, timeout="10s")
//	                                 struct(status, body, headers)
//
// tcp answers a question, so that nobody listening is no error; http fails with
// kind unavailable when no answer comes, and a status of 400 is an answer.
func netModule() *starlarkstruct.Module {
	return &starlarkstruct.Module{Name: "net", Members: starlark.StringDict{
		"tcp":  starlark.NewBuiltin("net.tcp", netTCP),
		"http": starlark.NewBuiltin("net.http", netHTTP),
	}}
}

func netTCP(thread *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var address string
	timeout := lang.Duration(time.Second)
	if err := lang.UnpackArgs(b.Name(), args, kwargs, "address", &address, "timeout?", &timeout); err != nil {
		return nil, err
	}
	if _, _, err := net.SplitHostPort(address); err != nil {
		return nil, fault.New(fault.Invalid, "net.tcp: %s", err).WithHint(`an address is "host:port"`)
	}
	ctx := lang.Context(thread)
	ctx, cancel := context.WithTimeout(ctx, time.Duration(timeout))
	defer cancel()
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		if errors.Is(lang.Context(thread).Err(), context.Canceled) {
			return nil, fault.Wrap(context.Canceled, "connect to", address)
		}
		return starlark.False, nil
	}
	c.Close()
	return starlark.True, nil
}

// maxBody bounds what an answer may fill our memory with.
const maxBody = 64 << 20

func netHTTP(thread *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var url, body string
	method := "GET"
	var headers *starlark.Dict
	timeout := lang.Duration(10 * time.Second)
	if err := lang.UnpackArgs(b.Name(), args, kwargs, "url", &url, "method?", &method, "body?", &body, "headers?", &headers, "timeout?", &timeout); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(lang.Context(thread), time.Duration(timeout))
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return nil, fault.New(fault.Invalid, "net.http: %s", err)
	}
	if headers != nil {
		for _, kv := range headers.Items() {
			k, ok1 := starlark.AsString(kv[0])
			v, ok2 := starlark.AsString(kv[1])
			if !ok1 || !ok2 {
				return nil, fault.New(fault.Invalid, "net.http: headers are strings: got %s: %s", kv[0], kv[1])
			}
			req.Header.Set(k, v)
		}
	}
	// A transport of its own: nothing of one call, such as an idle connection
	// to a container that has gone since, is seen by the next.
	tr := &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true}
	resp, err := (&http.Client{Transport: tr}).Do(req)
	if err != nil {
		e := &fault.Error{Kind: fault.Unavailable, Op: "fetch", Subject: url, Message: err.Error()}
		switch k := fault.KindOf(err); k {
		case fault.Cancelled, fault.Timeout:
			e.Kind = k
		}
		return nil, e
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	if err != nil {
		return nil, &fault.Error{Kind: fault.Unavailable, Op: "read the answer of", Subject: url, Message: err.Error()}
	}
	if len(data) > maxBody {
		return nil, fault.New(fault.Invalid, "net.http: %s answers with more than %d bytes", url, maxBody)
	}
	h := starlark.NewDict(len(resp.Header))
	for k, v := range resp.Header {
		_ = h.SetKey(starlark.String(strings.ToLower(k)), starlark.String(strings.Join(v, ", ")))
	}
	h.Freeze()
	return starlarkstruct.FromStringDict(starlarkstruct.Default, starlark.StringDict{
		"status": starlark.MakeInt(resp.StatusCode), "body": starlark.String(data), "headers": h,
	}), nil
}
