/**
 * The messages of the cache endpoints in Protocol Buffers, as published at `GET /v1/schema/cache.proto`. Members have the
 * names that they have in JSON; what may be left out there, or be null, has presence here.
 *
 * The numbers of fields are forever: a member that goes leaves its number reserved.
 */
export const CACHE_PROTO = `syntax = "proto3";

// Bodies of the endpoints under /v1/cache with Content-Type application/protobuf.
// Times are RFC 3339 text in UTC, durations are seconds. A field that the server does not know is an error.
package cache.v1;

import "google/protobuf/struct.proto";

// PUT and POST /cache/{key}
message WriteRequest {
  // Binary is a struct with the one field "$binary", base64. Integers beyond 2^53 are strings of digits.
  google.protobuf.Value value = 1;
  optional WriteOptions options = 2;
}

message WriteOptions {
  optional int64 ttl = 1;
  optional string if_version = 2;
  repeated string tags = 3;
  // true, false, or the name of an algorithm
  google.protobuf.Value compress = 4;
  optional bool encrypt = 5;
  optional double ttl_jitter = 6;
  optional bool sliding = 7;
  optional bool replicate = 8;
  optional int64 stale_while_revalidate = 9;
  optional int64 stale_if_error = 10;
}

message WriteResponse {
  string key = 1;
  // created or updated
  string status = 2;
  WriteMetadata metadata = 3;
  repeated string cache_layers = 4;
}

message WriteMetadata {
  string created_at = 1;
  string updated_at = 2;
  // Without it the entry does not expire.
  optional string expires_at = 3;
  int64 size_bytes = 4;
  double compression_ratio = 5;
  repeated string replicated_to = 6;
  string version = 7;
}

// GET /cache/{key}
message ReadResponse {
  string key = 1;
  google.protobuf.Value value = 2;
  optional ReadMetadata metadata = 3;
  google.protobuf.Value explain = 4;
}

message ReadMetadata {
  string created_at = 1;
  string updated_at = 2;
  optional string expires_at = 3;
  int64 hit_count = 4;
  int64 size_bytes = 5;
  string cache_layer = 6;
  string version = 7;
}

// PATCH /cache/{key}, answered by a WriteResponse
message PatchRequest {
  google.protobuf.Value value = 1;
  // deep, shallow or replace
  optional string merge_strategy = 2;
  optional WriteOptions options = 3;
}

// POST /cache/{key}/touch
message TouchRequest {
  optional int64 ttl = 1;
}

message TouchResponse {
  string key = 1;
  string status = 2;
  TouchMetadata metadata = 3;
}

message TouchMetadata {
  string created_at = 1;
  string updated_at = 2;
  optional string expires_at = 3;
  string version = 4;
}

// POST /cache/{key}/increment
message IncrementRequest {
  optional double by = 1;
  optional double initial = 2;
  optional int64 ttl = 3;
}

message IncrementResponse {
  string key = 1;
  string status = 2;
  WriteMetadata metadata = 3;
  repeated string cache_layers = 4;
  // A number, or beyond 2^53 its digits.
  google.protobuf.Value value = 5;
}

// GET /cache
message ListResponse {
  repeated ListedKey keys = 1;
  // Without it this is the last page.
  optional string cursor = 2;
}

message ListedKey {
  string key = 1;
  string created_at = 2;
  string updated_at = 3;
  optional string expires_at = 4;
  string version = 5;
  int64 size_bytes = 6;
  repeated string tags = 7;
}

// DELETE /cache, and DELETE /cache/{key} with a pattern
message DeleteResponse {
  int64 deleted = 1;
  optional string pattern = 2;
  optional string tag = 3;
  optional bool dry_run = 4;
  repeated string sample = 5;
  int64 duration_ms = 6;
  optional DeletionJob job = 7;
}

message DeletionJob {
  string id = 1;
  // running, done or failed
  string status = 2;
  optional string pattern = 3;
  optional string prefix = 4;
  optional string tag = 5;
  int64 scanned = 6;
  int64 deleted = 7;
  string started_at = 8;
  optional string ended_at = 9;
  optional string reason = 10;
  optional bool dry_run = 11;
}

// POST /cache/invalidate
message InvalidateRequest {
  repeated string keys = 1;
  repeated string tags = 2;
  optional string pattern = 3;
  optional string prefix = 4;
  optional bool dry_run = 5;
}

message InvalidateResponse {
  InvalidatedCounts invalidated = 1;
  optional bool dry_run = 2;
  repeated string sample = 3;
  repeated DeletionJob jobs = 4;
  int64 duration_ms = 5;
}

message InvalidatedCounts {
  optional int64 keys = 1;
  optional int64 tags = 2;
  optional int64 pattern = 3;
  optional int64 prefix = 4;
}

// POST /cache/bulk/get
message BulkGetRequest {
  repeated string keys = 1;
  optional BulkGetOptions options = 2;
}

message BulkGetOptions {
  optional bool include_metadata = 1;
  optional int64 max_concurrent = 2;
}

message BulkGetResponse {
  map<string, BulkGetResult> results = 1;
  BulkGetSummary summary = 2;
}

message BulkGetResult {
  // hit, miss or error
  string status = 1;
  google.protobuf.Value value = 2;
  optional string cache_layer = 3;
  optional ReadMetadata metadata = 4;
  optional string error = 5;
  optional string code = 6;
}

message BulkGetSummary {
  int64 total_keys = 1;
  int64 hits = 2;
  int64 misses = 3;
  optional int64 errors = 4;
  double hit_ratio = 5;
}

// POST /cache/bulk/set
message BulkSetRequest {
  repeated BulkSetEntry entries = 1;
  optional BulkSetOptions options = 2;
}

message BulkSetEntry {
  string key = 1;
  google.protobuf.Value value = 2;
  optional int64 ttl = 3;
  optional WriteOptions options = 4;
}

message BulkSetOptions {
  optional int64 ttl = 1;
  repeated string tags = 3;
  google.protobuf.Value compress = 4;
  optional bool encrypt = 5;
  optional double ttl_jitter = 6;
  optional bool sliding = 7;
  optional bool replicate = 8;
  // write-through, write-behind or write-around
  optional string strategy = 9;
  optional int64 max_concurrent = 10;
  optional int64 stale_while_revalidate = 11;
  optional int64 stale_if_error = 12;
}

message BulkSetResponse {
  map<string, BulkSetResult> results = 1;
  BulkSetSummary summary = 2;
}

message BulkSetResult {
  // created, updated or error
  string status = 1;
  optional string version = 2;
  optional string expires_at = 3;
  repeated string cache_layers = 4;
  optional string error = 5;
  optional string code = 6;
}

message BulkSetSummary {
  int64 total_keys = 1;
  int64 created = 2;
  int64 updated = 3;
  int64 errors = 4;
}

// POST /cache/bulk/delete
message BulkDeleteRequest {
  repeated string keys = 1;
  optional BulkDeleteOptions options = 2;
}

message BulkDeleteOptions {
  optional int64 max_concurrent = 1;
}

message BulkDeleteResponse {
  map<string, BulkDeleteResult> results = 1;
  BulkDeleteSummary summary = 2;
}

message BulkDeleteResult {
  // deleted, miss or error
  string status = 1;
  repeated string deleted_from = 2;
  optional string error = 3;
  optional string code = 4;
}

message BulkDeleteSummary {
  int64 total_keys = 1;
  int64 deleted = 2;
  int64 misses = 3;
  int64 errors = 4;
}

// Of every response that is no success
message Error {
  ErrorBody error = 1;
}

message ErrorBody {
  string code = 1;
  string message = 2;
  google.protobuf.Struct details = 3;
  ErrorMetadata metadata = 4;
}

message ErrorMetadata {
  string request_id = 1;
  string timestamp = 2;
  string api_version = 3;
  int64 response_time_ms = 4;
}
`;
